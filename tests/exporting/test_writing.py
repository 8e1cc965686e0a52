from dataclasses import replace

import pytest

from modicum.exporting.writing import Stated

PREPROCESSING = {"size": 32, "resize_short": 36, "mean": [0.5] * 3, "std": [0.25] * 3}
STATED = Stated(PREPROCESSING, ["a", "b"], knob=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"preprocessing": {"size": 32}},
            "must hold size, resize_short, mean and std, but lacks mean, resize_short, std",
        ),
        ({"preprocessing": PREPROCESSING | {"size": 48}}, "preprocessing must give images of 32 px, not 48"),
        ({"classes": ["a"]}, "classes must name the network's 2 classes, got 1 names"),
        ({"knob": float("inf")}, "knob must be a finite number, got inf"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        replace(STATED, **change).details(image_px=32, num_classes=2)


def test_other_keys_of_the_preprocessing_are_not_stated():
    stated = replace(STATED, preprocessing=PREPROCESSING | {"flip": True})
    assert stated.details(image_px=32, num_classes=2)["preprocessing"] == PREPROCESSING | {"interpolation": "bilinear"}
