import sys

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from modicum.restore.colour import studio_luma
from modicum.restore.metrics import Scores, mean_scores, psnr, score, ssim
from modicum.restore.task import Task
from modicum.storage.errors import MissingExtraError


@pytest.fixture
def pair(picture):
    return picture(1), picture(2)


def test_psnr_by_hand():
    assert psnr(np.array([[0, 0]]), np.array([[3, 4]])) == pytest.approx(10 * np.log10(255**2 / 12.5))


def test_psnr_of_colour_is_of_one_error_over_all_channels(pair):
    assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair, data_range=255))


def test_equal_images_are_infinitely_near(picture):
    assert psnr(picture(0), picture(0)) == float("inf")
    assert ssim(picture(0), picture(0)) == 1


def wang_ssim(first, second):
    """Wang's program: every 11x11 window inside the image, one by one."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for row in range(first.shape[0] - 10):
        for column in range(first.shape[1] - 10):
            a, b = (image[row : row + 11, column : column + 11].astype(float) for image in (first, second))
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * a * a).sum() - ma**2, (window * b * b).sum() - mb**2
            both = (window * a * b).sum() - ma * mb
            values.append((2 * ma * mb + c1) * (2 * both + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(values)


def test_ssim_equals_its_authors_definition(pair):
    first, second = (image[:18, :20, 0] for image in pair)
    assert ssim(first, second) == pytest.approx(wang_ssim(first, second), abs=1e-9)


def test_ssim_of_colour_is_the_mean_over_channels(pair):
    channels = [ssim(pair[0][..., channel], pair[1][..., channel]) for channel in range(3)]
    assert ssim(*pair) == pytest.approx(np.mean(channels), abs=1e-9)


def test_ssim_is_not_the_librarys_default(pair):
    first, second = (image[..., 0] for image in pair)
    assert abs(ssim(first, second) - structural_similarity(first, second)) > 1e-3


def test_score_takes_eight_bit_values(pair):
    target = pair[0][..., 0]
    restored = target + np.float32(0.4)
    assert score(restored, target, Task("denoise", 50)) == Scores(float("inf"), 1.0)


def test_score_of_super_resolution_is_on_luma_without_border(pair):
    first, second = (studio_luma(image)[4:-4, 4:-4] for image in pair)
    expected = Scores(psnr(first, second), ssim(first, second))
    assert score(*pair, Task("super-resolution", 4)) == expected


def test_border_does_not_count_in_super_resolution(picture):
    spoilt = picture(1).copy()
    spoilt[:2] = spoilt[:, -2:] = 0
    assert score(spoilt, picture(1), Task("super-resolution", 2)).psnr == float("inf")


def test_shapes_must_agree(pair):
    with pytest.raises(ValueError, match=r"shape \(40, 48\) cannot be compared with one of \(40, 48, 3\)"):
        score(pair[0][..., 0], pair[1], Task("demosaic"))


def test_ssim_needs_its_window(picture):
    with pytest.raises(ValueError, match="SSIM needs sides of at least 11 pixels, got 10x48"):
        ssim(picture(0)[:10], picture(1)[:10])


def test_mean_is_of_the_decibels():
    assert mean_scores([Scores(20, 0.5), Scores(30, 0.7)]) == Scores(25, pytest.approx(0.6))


def test_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="there are no images to average over"):
        mean_scores([])


def test_missing_library_is_named(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(MissingExtraError, match=r"scikit-image is not installed; .*pip install -e '\.\[restore\]'"):
        ssim(*pair)
