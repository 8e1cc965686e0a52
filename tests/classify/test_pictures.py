import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modicum.classify.pictures import (
    RunnerResult,
    check_images,
    name_answer,
    open_picture,
    prepare_picture,
    read_input,
    softmax,
)
from modicum.datasets.preprocessing import Preprocessing
from modicum.imaging.decoding import decode
from modicum.storage import DataError

OPTIONS = {"size": 32, "resize_short": 36, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


def random_picture(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_torch_is_not_imported():
    code = "import modicum.classify.pictures, sys; assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("width", "height"), [(32, 32), (50, 40), (41, 77), (20, 24), (300, 20), (37, 400)])
def test_pictures_are_prepared_as_in_training(width, height):
    picture, options = random_picture(width, height), Preprocessing(32, 36)
    expected = options.normalise(options.eval_transform()(picture)[None])[0].numpy()
    found = prepare_picture(picture, {"size": 32, "resize_short": 36, "mean": options.mean, "std": options.std})
    one_grey_level = 1 / 255 / min(options.std)
    assert np.abs(found - expected).max() <= one_grey_level + 1e-5


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_files_are_decoded_as_in_training(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture = random_picture(8, 6).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((8, 6)))
    picture.convert(mode).save(path)
    np.testing.assert_array_equal(np.array(open_picture(path)), np.array(decode(path.read_bytes())))


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # orientation: turned by a quarter
    random_picture(8, 6).save(tmp_path / "a.png", exif=exif)
    assert open_picture(tmp_path / "a.png").size == (6, 8)


@pytest.mark.parametrize(("content", "reason"), [(b"", "the file is empty"), (b"hello", "not an image in one of")])
def test_what_is_no_picture_is_refused_with_its_name(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.png: not read: {reason}"):
        open_picture(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.png: not read: No such file"):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["turned", "half transparent", "palette with transparency", "grey in 16 bit"])
def test_path_bytes_and_picture_give_the_input_that_predict_sees(tmp_path, kind):
    path = tmp_path / ("a.jpg" if kind == "turned" else "a.png")
    picture, options = random_picture(50, 40), {}
    if kind == "turned":
        options["exif"] = Image.Exif()
        options["exif"][274] = 6
    elif kind == "half transparent":
        picture.putalpha(Image.linear_gradient("L").resize((50, 40)))
    elif kind == "palette with transparency":
        picture, options["transparency"] = picture.quantize(16), 3
    else:
        picture = Image.fromarray(np.linspace(0, 65535, 2000).reshape(40, 50).astype(np.uint16))
    picture.save(path, **options)
    expected = prepare_picture(decode(path.read_bytes()), OPTIONS)[None]
    with Image.open(path) as opened:
        for form in (path, str(path), path.read_bytes(), opened):
            np.testing.assert_array_equal(read_input(form, OPTIONS), expected)


def test_a_path_and_a_picture_in_memory_give_the_same_input(tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    found = read_input(tmp_path / "a.png", OPTIONS)
    assert (found.shape, found.dtype) == ((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(found, read_input(random_picture(50, 40), OPTIONS))


def test_softmax_is_stable_and_sums_to_one():
    logits = np.array([[1000.0, 1000.0, 0.0], [0.0, np.log(3.0), -np.inf]], np.float32)
    np.testing.assert_allclose(softmax(logits), [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]], atol=1e-7)


def test_an_answer_names_the_likeliest_class_with_its_share_of_the_cost():
    logits = np.array([[0.0, np.log(3.0)]], np.float32)
    answer = name_answer(
        RunnerResult(logits, np.array([0]), np.array([2.0])), classes=("a", "b"), route="exit 1", plain_macs=8.0
    )
    assert (answer.predicted, answer.route, answer.cost) == ("b", "exit 1", 0.25)
    assert answer.probability == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 16, 16), np.float32), ((3, 8, 8), np.float32), ((2, 3, 8, 8), float)]
)
def test_other_shapes_and_types_are_refused(shape, dtype):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 8, 8\) float32, normalised, got \("):
        check_images(np.zeros(shape, dtype), 8)
