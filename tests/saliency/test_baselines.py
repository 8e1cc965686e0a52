import numpy as np
import pytest

from modicum.saliency.baselines import baselines, centre, frequency_tuned, mean_mask

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
MASKS = [np.full((9, 7), level, np.uint8) for level in (0, 100, 200)]


def test_every_baseline_gives_a_map_of_the_pictures_size():
    methods = baselines(MASKS)
    assert list(methods) == [
        "all zero",
        "centre Gaussian",
        "mean training mask",
        "frequency-tuned",
        "frequency-tuned x centre",
    ]
    for method in methods.values():
        saliency = method(PIXELS)
        assert (saliency.shape, saliency.dtype) == ((20, 31), np.uint8)


def test_mean_mask_is_the_mean():
    assert np.unique(mean_mask(MASKS)).tolist() == [100]


def test_mean_of_no_masks_is_refused():
    with pytest.raises(ValueError, match="at least one mask"):
        mean_mask([])


def test_gaussian_falls_from_the_middle_by_its_spread():
    saliency = centre(np.zeros((101, 201, 3), np.uint8))
    assert saliency[50, 100] == 255
    quarter = 255 * np.exp(-0.5)
    assert saliency[25, 100] == pytest.approx(quarter, abs=2)
    assert saliency[50, 50] == pytest.approx(quarter, abs=2)


def test_odd_colour_stands_out():
    pixels = np.full((40, 40, 3), (30, 90, 30), np.uint8)
    pixels[10:20, 10:20] = (220, 30, 30)
    saliency = frequency_tuned(pixels)
    assert saliency[15, 15] > 250
    assert saliency[30, 30] < 25


def test_one_colour_has_nothing_that_stands_out():
    assert frequency_tuned(np.full((8, 8, 3), 77, np.uint8)).max() == 0
