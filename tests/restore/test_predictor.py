import os

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from modicum.imaging.decoding import BadImageError
from modicum.prediction import Failure
from modicum.restore.colour import replace_studio_luma, studio_luma
from modicum.restore.degradations import mosaic
from modicum.restore.predictor import Predictor, Restored
from modicum.restore.task import Task
from modicum.storage.errors import DataError

GREY, COLOUR = Task("denoise", 50), Task("denoise", 50, colour=True)
JPEG, DEMOSAIC, DOUBLE = Task("jpeg", 10), Task("demosaic"), Task("super-resolution", 2)


class Darkener:
    """Halves what it sees, and keeps it; enlarges by repeating pixels."""

    def __init__(self, scale=1):
        self.scale, self.seen = scale, []

    def restore(self, image, progress=None):
        self.seen.append(np.array(image))
        if progress is not None:
            progress(1, 1)
        return (image / 2).repeat(self.scale, axis=0).repeat(self.scale, axis=1).astype(np.float32)


@pytest.mark.parametrize("task", [GREY, COLOUR, JPEG])
@pytest.mark.parametrize("shape", [(8, 8), (9, 11), (1, 1), (40, 7), (8, 8, 3), (9, 11, 3), (1, 3, 3)])
def test_photographs_of_any_size_keep_size_and_channels(task, shape, picture):
    assert Predictor(Darkener(), task)(picture(0, shape)).after.pixels.shape == shape


def test_grey_network_restores_each_channel_by_itself(picture):
    restorer, pixels = Darkener(), picture(0)
    restored = Predictor(restorer, GREY)(pixels)
    assert [part.shape for part in restorer.seen] == [(40, 48)] * 3
    np.testing.assert_allclose(restored.after.pixels, pixels / 2)


def test_network_for_jpeg_sees_the_luma_and_keeps_the_colours(picture):
    restorer, pixels = Darkener(), picture(0)
    restored = Predictor(restorer, JPEG)(pixels)
    (seen,) = restorer.seen
    np.testing.assert_allclose(seen, studio_luma(pixels))
    np.testing.assert_allclose(restored.after.pixels, replace_studio_luma(pixels, seen / 2), atol=1e-3)


def test_colour_network_sees_a_grey_photograph_three_times(picture):
    restorer, pixels = Darkener(), picture(0, (9, 8))
    restored = Predictor(restorer, COLOUR)(pixels)
    (seen,) = restorer.seen
    np.testing.assert_array_equal(seen, np.dstack([pixels] * 3))
    np.testing.assert_allclose(restored.after.pixels, pixels / 2)


def test_result_is_clipped():
    class Brightener(Darkener):
        def restore(self, image, progress=None):
            return np.asarray(image, np.float32) * 3 - 100

    after = Predictor(Brightener(), GREY)(np.array([[0, 200]], np.uint8)).after.pixels
    np.testing.assert_array_equal(after, [[0, 255]])


def test_raw_mosaic_gets_its_colours_apart(picture):
    restorer, rgb = Darkener(), picture(0, (8, 10, 3))
    raw = mosaic(rgb).max(axis=2)
    for given in (raw, mosaic(rgb)):
        assert Predictor(restorer, DEMOSAIC)(given).after.pixels.shape == (8, 10, 3)
        np.testing.assert_array_equal(restorer.seen[-1], mosaic(rgb))


def test_colours_that_are_no_mosaic_are_refused(picture):
    with pytest.raises(BadImageError, match="image 0: not read: not a GRBG mosaic: give raw samples as a grey image"):
        Predictor(Darkener(), DEMOSAIC)(picture(0))


def test_enlarged_photograph_has_enlarged_alpha(picture, tmp_path):
    Image.fromarray(picture(0, (6, 7, 4))).save(tmp_path / "a.png")
    restored = Predictor(Darkener(2), DOUBLE)(tmp_path / "a.png")
    assert restored.after.pixels.shape == (12, 14, 3)
    assert restored.after.alpha.shape == (12, 14)


def test_alpha_stays(picture, tmp_path):
    pixels = picture(0, (6, 7, 4))
    Image.fromarray(pixels).save(tmp_path / "a.png")

    Predictor(Darkener(), GREY)(tmp_path / "a.png").save(tmp_path / "b.png")

    written = np.asarray(Image.open(tmp_path / "b.png"))
    np.testing.assert_array_equal(written[..., 3], pixels[..., 3])
    np.testing.assert_allclose(written[..., :3], pixels[..., :3] / 2, atol=0.5)


def test_16_bit_stay(tmp_path):
    pixels = np.arange(0, 60_000, 1_000, np.uint16).reshape(6, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    Predictor(Darkener(), GREY)(tmp_path / "a.png").save(tmp_path / "b.png")

    written = np.asarray(Image.open(tmp_path / "b.png"))
    assert written.max() > 255
    np.testing.assert_allclose(written, pixels / 2, atol=0.51)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pil_image_is_restored_as_its_file(mode, tmp_path):
    ramp = Image.fromarray(np.arange(0, 240, 2, np.uint8).reshape(10, 12))
    given = Image.fromarray(np.arange(0, 60_000, 500, np.uint16).reshape(10, 12)) if mode == "I;16" else ramp
    given = given if mode == "I;16" else given.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    given.save(path)

    ours, theirs = (Predictor(Darkener(), GREY)(each).after for each in (given, path))

    np.testing.assert_array_equal(ours.pixels, theirs.pixels)
    assert (ours.alpha is None, ours.bits) == (theirs.alpha is None, theirs.bits)


def test_exif_and_profile_come_through_upright(picture, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "someone"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(picture(0)).save(tmp_path / "a.jpg", exif=exif, icc_profile=profile)

    Predictor(Darkener(), COLOUR)(tmp_path / "a.jpg").save(tmp_path / "b.png")

    with Image.open(tmp_path / "b.png") as written:
        assert written.size == (40, 48)
        assert written.getexif().get(ExifTags.Base.Artist) == "someone"
        assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert written.info["icc_profile"] == profile


def test_broken_file_costs_only_itself(picture, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    results = list(Predictor(Darkener(), GREY).predict_all([picture(0), tmp_path / "bad.png", picture(1, (5, 6))]))
    assert [type(result) for result in results] == [Restored, Failure, Restored]
    assert results[1].reason == "the file is empty"
    assert results[2].name == "image 2"


def test_unreadable_file_is_refused_by_name(tmp_path):
    with pytest.raises(BadImageError, match=r"none\.png"):
        Predictor(Darkener(), GREY)(tmp_path / "none.png")


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_arrays_of_other_forms_are_refused(values):
    with pytest.raises(BadImageError, match=r"an array must be \(H, W\) or \(H, W, 3\) uint8, got"):
        Predictor(Darkener(), GREY)(values)


def test_progress_is_told_for_each_channel(picture):
    told = []
    Predictor(Darkener(), GREY)(picture(0), lambda *at: told.append(at))
    assert told == [(1, 1)] * 3


def test_comparison_has_both_at_one_size(picture):
    pixels = picture(0, (6, 8, 3))
    sheet = np.asarray(Predictor(Darkener(2), DOUBLE)(pixels).comparison())
    assert sheet.shape == (12, 16 + 8 + 16, 3)
    np.testing.assert_array_equal(sheet[::2, :16:2], pixels)
    np.testing.assert_allclose(sheet[::2, 24::2], pixels / 2, atol=0.5)
    assert (sheet[:, 16:24] == 255).all()


def test_result_prints_and_serialises(picture):
    restored = Predictor(Darkener(), GREY)(np.full((4, 6), 100, np.uint8))
    assert str(restored).startswith("image 0: 6x4 pixels in ")
    assert restored.to_json() == {"name": "image 0", "width": 6, "height": 4, "mean_change": 50.0}
    assert restored.image().size == (6, 4)


def test_what_cannot_be_read_costs_only_itself(picture, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    bad = [None, np.zeros((0, 4), np.uint8), "a\0b.png", tmp_path / "pipe.png", "/dev/zero", "x" * 5000, 7]
    answers = list(Predictor(Darkener(), GREY).predict_all([picture(0), *bad, picture(1)]))
    assert [isinstance(answer, Failure) for answer in answers] == [False, *[True] * len(bad), False]


def test_bytes_of_a_file_are_restored_like_the_file(picture, tmp_path):
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    by_path, by_bytes = (
        Predictor(Darkener(), GREY)(each) for each in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes())
    )
    np.testing.assert_array_equal(by_path.after.pixels, by_bytes.after.pixels)


def test_file_that_is_not_accepted_costs_no_work_and_only_itself(picture):
    def accept(photos):
        if photos[0].is_grey:
            raise DataError("grey is not wanted")

    class Counting(Darkener):
        calls = 0

        def restore(self, image, progress=None):
            Counting.calls += 1
            return super().restore(image, progress)

    answers = list(Predictor(Counting(), GREY).predict_all([picture(0, (9, 9)), picture(1)], accept=accept))
    assert str(answers[0]) == "image 0: not written: grey is not wanted"
    assert not isinstance(answers[1], Failure)
    assert Counting.calls == 3  # channels of the second one
