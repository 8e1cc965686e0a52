import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Picture
from modicum.prediction import Failure
from modicum.saliency.data.transforms import Preprocessing
from modicum.saliency.predictor import Predictor, Salience


def picture_of(pixels):
    return Picture(pixels, pixels)


@pytest.fixture
def predictor(small):
    return Predictor(small, Preprocessing(32))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)


@pytest.fixture
def found():
    mask = np.zeros((10, 20), np.uint8)
    mask[2:5, 4:12] = 255
    mask[0, 0] = 127
    return Salience("folder/cat.jpg", picture_of(np.full((10, 20, 3), 50, np.uint8)), mask)


def test_mask_has_the_size_of_the_picture(predictor, pixels):
    assert predictor(pixels).mask.shape == (21, 34)


def test_path_picture_and_array_give_the_same(predictor, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    masks = [predictor(each).mask for each in (pixels, Image.fromarray(pixels), tmp_path / "a.png")]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_picture_is_turned_upright(predictor, pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    found = predictor(tmp_path / "turned.png")
    np.testing.assert_array_equal(found.pixels, np.rot90(pixels, -1))
    assert found.mask.shape == (34, 21)


def test_map_is_that_of_the_network(predictor, small, pixels):
    square = np.asarray(Image.fromarray(pixels).resize((32, 32)))
    images = Preprocessing(32).normalise(torch.from_numpy(square.copy()).permute(2, 0, 1)[None])
    with torch.inference_mode():
        expected = 255 * small.saliency(images)[0, 0].numpy()
    np.testing.assert_allclose(predictor(square).mask, expected, atol=0.6)


def test_large_pictures_are_guided_by_their_edges(small):
    large = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    guided, plain = (Predictor(small, Preprocessing(32), is_guided=flag)(large).mask for flag in (True, False))
    assert (guided != plain).any()


def test_batch_answers_in_order_and_one_bad_file_costs_only_itself(predictor, pixels, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    answers = list(predictor.predict_all([pixels, tmp_path / "bad.png", pixels[:9]], batch_size=2))
    assert [type(answer) for answer in answers] == [Salience, Failure, Salience]
    assert answers[2].mask.shape == (9, 34)
    assert answers[1].reason == "the file is empty"


def test_unreadable_picture_is_refused_by_name(predictor, tmp_path):
    with pytest.raises(BadImageError, match=r"none\.jpg: not read: No such file"):
        predictor(tmp_path / "none.jpg")


def test_array_of_floats_is_refused(predictor):
    with pytest.raises(BadImageError, match=r"must be \(H, W\) or \(H, W, 3\) uint8, got \(4, 4, 3\) float64"):
        predictor(np.zeros((4, 4, 3)))


def test_batch_size_0_is_refused(predictor):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(predictor.predict_all([], batch_size=0))


def test_box_and_share_are_those_of_the_salient_pixels(found):
    assert found.box == (4, 2, 12, 5)
    assert found.share == pytest.approx(24 / 200)
    assert str(found) == "folder/cat.jpg: 12% salient, within 4, 2, 12, 5"


def test_nothing_salient_has_no_box():
    nothing = Salience("x", picture_of(np.zeros((4, 4, 3), np.uint8)), np.zeros((4, 4), np.uint8))
    assert nothing.box is None
    assert str(nothing) == "x: 0% salient, nothing stands out"


def test_cut_out_has_the_mask_as_alpha(found):
    picture = found.cut_out()
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(picture)[..., 3], found.mask)
    np.testing.assert_array_equal(np.asarray(picture)[..., :3], found.pixels)


def test_overlay_tints_what_is_salient_and_nothing_else(found):
    overlay = np.asarray(found.overlay())
    np.testing.assert_array_equal(overlay[8], found.pixels[8])
    assert overlay[3, 6, 0] > 150


def test_saved_pictures_stand_beside_each_other(found, tmp_path):
    files = found.save(tmp_path / "out")
    assert sorted(file.name for file in files.values()) == ["cat_cut_out.png", "cat_mask.png", "cat_overlay.jpg"]
    np.testing.assert_array_equal(np.asarray(Image.open(files["mask"])), found.mask)


def test_json_says_what_was_found(found):
    expected = {"name": "folder/cat.jpg", "width": 20, "height": 10, "share": 0.12, "box": (4, 2, 12, 5)}
    assert found.to_json() == expected


def test_cut_out_does_not_bring_back_what_was_transparent():
    colours = np.full((2, 3, 3), 50, np.uint8)
    alpha = np.array([[0, 128, 255]] * 2, np.uint8)
    mask = np.array([[255, 255, 128]] * 2, np.uint8)
    found = Salience("x", Picture(np.full((2, 3, 3), 200, np.uint8), colours, alpha), mask)
    values = np.asarray(found.cut_out())
    np.testing.assert_array_equal(values[0, :, 3], [0, 128, 128])
    np.testing.assert_array_equal(values[..., :3], colours)


def test_belongings_of_a_photograph_come_back_in_all_pictures(predictor, pixels, tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "someone"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), xmp=b"<x>mine</x>")
    files = predictor(tmp_path / "a.jpg").save(tmp_path)
    for kind, file in files.items():
        with Image.open(file) as picture:
            picture.load()
            assert picture.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
            assert picture.getexif()[0x013B] == "someone"
            assert b"mine" in picture.info["xmp"]
            assert ("icc_profile" in picture.info) == (kind != "mask")  # a mask is grey


def test_what_cannot_be_read_costs_only_itself(predictor, pixels, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    bad = [None, np.zeros((0, 4, 3), np.uint8), "a\0b.png", tmp_path / "pipe.png", Path("/dev/zero"), 7]
    answers = list(predictor.predict_all([pixels, *bad, pixels], batch_size=3))
    assert [type(answer) for answer in answers] == [Salience, *[Failure] * len(bad), Salience]
