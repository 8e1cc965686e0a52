import numpy as np
import pytest
import torch

from modicum.detect.boxes import Detections
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.class_names import RelabelledDetector
from modicum.detect.detectors.protocol import Detector, require_true_pixels
from modicum.storage.errors import DataError

IMAGE = torch.arange(3 * 4 * 5, dtype=torch.uint8).view(3, 4, 5)
ANSWER = {"boxes": [[0, 0, 2, 2], [1, 1, 3, 3]], "scores": [0.9, 0.2], "labels": [2, 1]}
CLASSES = ("__background__", "person", "car")


def test_answers_may_be_lists_arrays_tensors_or_detections():
    arrays = {name: np.array(values) for name, values in ANSWER.items()}
    tensors = {name: torch.tensor(values) for name, values in ANSWER.items()}
    whole = Detections(torch.tensor(ANSWER["boxes"]).float(), torch.tensor(ANSWER["scores"]), torch.tensor([2, 1]))
    for answer in (ANSWER, arrays, tensors, whole, {**tensors, "features": torch.zeros(2, 7)}):
        detector = CallableDetector(lambda images, answer=answer: [answer] * len(images), CLASSES)
        first, second = detector.detect([IMAGE, IMAGE])
        assert first.boxes.tolist() == second.boxes.tolist() == [[0, 0, 2, 2], [1, 1, 3, 3]]
        assert first.labels.tolist() == [2, 1]
        assert first.features is None or first.features.shape == (2, 7)


@pytest.mark.parametrize(
    ("takes", "check"),
    [
        ("uint8", lambda given: torch.equal(given, IMAGE)),
        ("float", lambda given: torch.equal(given, IMAGE / 255)),
        ("array", lambda given: np.array_equal(given, IMAGE.permute(1, 2, 0).numpy()) and given.flags.c_contiguous),
    ],
)
def test_function_gets_true_pixels_in_the_form_it_asks_for(takes, check):
    seen = []
    CallableDetector(lambda images: seen.extend(images) or [ANSWER], CLASSES, takes=takes).detect([IMAGE])
    assert check(seen[0])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], r"got 1 image\(s\) and gave 0 answer\(s\): give one each"),
        ([{"boxes": []}], 'gave the keys boxes: each answer must be a Detections, or have "boxes"'),
        ([None], "gave NoneType: each answer must be"),
        ([{**ANSWER, "scores": [9.0, 1.0]}], r"scores must be in \[0, 1\].*apply a sigmoid"),
        ([{**ANSWER, "scores": [0.5]}], "scores must be torch.float32 of shape"),
        ([{**ANSWER, "labels": [7, 1]}], r"gave the label 7, but has 3 class\(es\): name them all"),
        ([{**ANSWER, "boxes": [[2, 2, 0, 0], [1, 1, 3, 3]]}], r"boxes must be \(left, top, right, bottom\)"),
    ],
)
def test_answers_that_cannot_be_used_are_refused_with_what_would_be_right(answers, message):
    with pytest.raises(ValueError, match=message):
        CallableDetector(lambda images: answers, CLASSES).detect([IMAGE])


def test_costs_are_what_the_author_says():
    assert CallableDetector(len, CLASSES).macs(4, 5) is None
    counted = CallableDetector(len, CLASSES, macs=lambda height, width: 7 * height * width, squeezes_to=(32, 32))
    assert (counted.macs(4, 5), counted.squeezes_to) == (140, (32, 32))
    assert isinstance(counted, Detector)


def test_detector_that_squeezes_images_is_refused_for_the_fine_pass():
    require_true_pixels(CallableDetector(len, CLASSES))
    with pytest.raises(ValueError, match=r"squeezes every image to 48x32 px, .* use it for the coarse pass alone"):
        require_true_pixels(CallableDetector(len, CLASSES, squeezes_to=(32, 48)))


def test_classes_are_kept_by_name_and_numbered_anew():
    answer = {**ANSWER, "features": torch.eye(2)}
    whole = CallableDetector(lambda images: [answer], CLASSES, macs=lambda height, width: height * width)
    cars = RelabelledDetector(whole, ["bus", "Car"], {"bus": "person"})
    (found,) = cars.detect([IMAGE])
    assert (cars.classes, found.labels.tolist()) == (("bus", "Car"), [1, 0])
    (one,) = RelabelledDetector(whole, ["car"]).detect([IMAGE])
    assert (one.labels.tolist(), one.scores.tolist(), one.features.tolist()) == ([0], [pytest.approx(0.9)], [[1, 0]])
    assert (cars.macs(2, 3), cars.squeezes_to) == (6, None)
    assert isinstance(cars, Detector)


@pytest.mark.parametrize("name", ["truck", "__background__"])
def test_unknown_class_is_refused_with_those_that_are_known(name):
    with pytest.raises(DataError, match=f"the detector has no class '{name}'; it has 'person', 'car'"):
        RelabelledDetector(CallableDetector(len, CLASSES), [name])
