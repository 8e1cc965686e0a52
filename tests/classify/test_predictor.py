import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.classify.drnet.network import DRNet
from modicum.classify.predictor import Prediction, Predictor
from modicum.datasets.preprocessing import Preprocessing
from modicum.imaging.decoding import BadImageError
from modicum.prediction import Failure

CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    network = DRNet("digit_resnet", num_classes=10, resolutions=(32, 16), predictor="small").eval()
    with torch.no_grad():
        network.predictor.linear.weight.mul_(100)  # so that both routes occur
        network.predictor.linear.bias.sub_(network.scores(torch.randn(32, 3, 32, 32)).mean(0))
    return Predictor(network, preprocessing=Preprocessing(32, 36), classes=CLASSES, knob=0.1)


@pytest.fixture(scope="module")
def pictures():
    """Twelve pictures of 40 x 50 px with noise of varied contrast, as arrays."""
    rng = np.random.default_rng(0)
    return [(number / 12 * rng.integers(0, 256, (40, 50, 3))).astype(np.uint8) for number in range(12)]


@pytest.fixture
def folder(tmp_path, pictures):
    for number, pixels in enumerate(pictures[:4]):
        file = tmp_path / ("a" if number < 2 else "b") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    return tmp_path


def same(one, other):
    """Whether two predictions differ by no more than their name and rounding."""
    parts = [(item.label, item.route, item.macs, pytest.approx(item.probability, abs=1e-5)) for item in (one, other)]
    return parts[0] == parts[1]


@pytest.mark.parametrize("form", [str, lambda path: path, Image.open, lambda path: np.asarray(Image.open(path))])
def test_every_form_of_an_image_gives_the_same(predictor, folder, pictures, form):
    assert same(predictor(form(folder / "b" / "3.png")), predictor(pictures[3]))


def test_prediction_tells_label_probability_route_and_cost(predictor, pictures):
    prediction = predictor(pictures[5])
    costs = predictor.network.costs
    assert prediction.label in CLASSES
    assert 0.1 <= prediction.probability <= 1
    assert prediction.macs == costs.of(torch.tensor([costs.route_names.index(prediction.route)]))
    assert prediction.cost == prediction.macs / costs.plain


def test_prediction_is_that_of_the_network(predictor, pictures):
    preprocessing = predictor.preprocessing
    images = preprocessing.normalise(torch.stack([preprocessing.eval_transform()(pixels) for pixels in pictures]))
    with torch.inference_mode():
        expected = predictor.network.predict(images, 0.1).outputs.argmax(1).tolist()
    assert [item.label for item in predictor.predict_all(pictures)] == [CLASSES[label] for label in expected]


def test_both_routes_occur_in_these_tests(predictor, pictures):
    assert {item.route for item in predictor.predict_all(pictures)} == {"32 px", "16 px"}


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_prediction_does_not_depend_on_the_batch(predictor, pictures, batch_size):
    together = list(predictor.predict_all(pictures, batch_size=batch_size))
    assert all(same(item, predictor(pixels)) for item, pixels in zip(together, pictures, strict=True))


def test_predictions_come_in_the_order_of_the_images(predictor, pictures):
    names = [item.name for item in predictor.predict_all(pictures, batch_size=5)]
    assert names == [f"image {place}" for place in range(12)]


def test_predictions_come_as_soon_as_a_batch_is_full(predictor, pictures):
    asked = []

    def images():
        for pixels in pictures:
            asked.append(pixels)
            yield pixels

    next(predictor.predict_all(images(), batch_size=3))
    assert len(asked) == 3


def test_no_images_give_no_predictions(predictor):
    assert list(predictor.predict_all([])) == []


def test_higher_knob_is_cheaper(predictor, pictures):
    cheap = Predictor(predictor.network, preprocessing=predictor.preprocessing, classes=CLASSES, knob=1e6)
    assert {item.route for item in cheap.predict_all(pictures)} == {"16 px"}


# --- what cannot be read ---


def test_broken_file_costs_only_itself(predictor, folder, pictures):
    (folder / "broken.png").write_bytes(b"no picture")
    files = [folder / "a" / "0.png", folder / "broken.png", folder / "b" / "3.png"]
    first, broken, last = predictor.predict_all(files)
    assert same(first, predictor(pictures[0]))
    assert same(last, predictor(pictures[3]))
    assert isinstance(broken, Failure)
    assert broken.name == str(folder / "broken.png")


def test_batch_of_broken_files_is_legal(predictor, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    assert [type(item) for item in predictor.predict_all([folder / "broken.png"] * 2)] == [Failure, Failure]


def test_missing_file_is_named_with_the_reason(predictor, folder):
    (missing,) = predictor.predict_all([folder / "none.png"])
    assert str(missing) == f"{folder / 'none.png'}: not read: No such file or directory"


@pytest.mark.parametrize(("name", "reason"), [("none.png", "No such file"), ("broken.png", "not read: ")])
def test_single_image_that_cannot_be_read_is_an_error(predictor, folder, name, reason):
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=rf"{name}: not read: .*{reason.removeprefix('not read: ')}"):
        predictor(folder / name)


@pytest.mark.parametrize("array", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_array_of_another_form_is_refused(predictor, array):
    with pytest.raises(
        BadImageError, match=r"image 0: not read: an array must be \(H, W\) or \(H, W, 3\) uint8, got \(8, 8"
    ):
        predictor(array)


# --- how it prints and serialises ---

PREDICTION = Prediction("cat.png", "cat", 0.8125, "112 px", 1.5e9, 0.37)


def test_prediction_prints_in_one_line():
    assert str(PREDICTION) == "cat.png: cat (81.2%), 112 px, 37% of the plain cost"


def test_prediction_is_json():
    assert json.loads(json.dumps(PREDICTION.to_json())) == {
        "name": "cat.png",
        "label": "cat",
        "probability": 0.8125,
        "route": "112 px",
        "macs": 1.5e9,
        "cost": 0.37,
        "best": [],
        "steps": [],
    }


def test_prediction_of_a_cascade_tells_its_steps_and_the_best_classes():
    steps, best = (("64 px", 0.4), ("128 px", 0.9)), (("cat", 0.8125), ("dog", 0.1))
    prediction = replace(PREDICTION, steps=steps, best=best)
    assert str(prediction) == "cat.png: cat (81.2%), 64 px (40% sure) > 128 px (90% sure), 37% of the plain cost"
    assert prediction.to_json()["best"][1] == {"label": "dog", "probability": 0.1}
    assert prediction.to_json()["steps"][0] == {"step": "64 px", "sure": 0.4}


def test_failure_prints_and_is_json():
    failure = Failure("cat.png", "the file is empty")
    assert str(failure) == "cat.png: not read: the file is empty"
    assert json.loads(json.dumps(failure.to_json())) == {"name": "cat.png", "error": "the file is empty"}


def test_grey_array_is_read_like_its_colours(predictor):
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    assert predictor(grey).probability == predictor(np.dstack([grey] * 3)).probability


def test_what_cannot_be_read_costs_only_itself(predictor, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    good = np.zeros((8, 8, 3), np.uint8)
    bad = [None, good[:0], "a\0b.png", tmp_path / "pipe.png", "/dev/zero", "x" * 5000, 7]
    answers = list(predictor.predict_all([good, *bad, good], batch_size=3))
    assert [isinstance(answer, Failure) for answer in answers] == [False, *[True] * len(bad), False]
