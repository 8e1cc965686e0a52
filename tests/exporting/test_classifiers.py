import pytest

from modicum.exporting import ExportError
from modicum.exporting.classifiers import check_fit, read_knob, stated_preprocessing

PREPROCESSING = {"size": 32, "resize_short": 36, "mean": [0.5] * 3, "std": [0.25] * 3}
FITTING = {"preprocessing": PREPROCESSING, "classes": ["a", "b"], "knob": 0.5, "image_px": 32, "num_classes": 2}


def test_what_fits_passes():
    check_fit(**FITTING)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"preprocessing": {"size": 32}},
            "must hold size, resize_short, mean and std, but lacks mean, resize_short, std",
        ),
        ({"image_px": 48}, "preprocessing must give images of 48 px, not 32"),
        ({"classes": ["a"]}, "classes must name the network's 2 classes, got 1 names"),
        ({"knob": float("inf")}, "knob must be a finite number, got inf"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        check_fit(**(FITTING | change))


def test_other_keys_of_the_preprocessing_are_not_stated():
    assert stated_preprocessing(PREPROCESSING | {"interpolation": "bicubic"}) == PREPROCESSING


@pytest.mark.parametrize("knob", [float("inf"), float("nan"), None, "0.5"])
def test_a_manifest_whose_knob_is_no_number_is_refused_by_name(tmp_path, knob):
    message = rf"manifest\.json is damaged: knob must be a finite number, got {knob}.*; export again"
    with pytest.raises(ExportError, match=message):
        read_knob({"knob": knob}, tmp_path)
