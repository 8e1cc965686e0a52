import numpy as np
import pytest
import torch

from modicum.saliency.upsampling import _box, default_radius, guided_upsample, plain_upsample


def scene(height=240, width=320):
    """A bright disk on dark ground, and its mask."""
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - height / 2, columns - width / 2) < height / 4
    return np.where(inside[..., None], 210, 40).astype(np.uint8).repeat(3, 2), inside


def small_map(inside, side=40):
    mask = torch.from_numpy(inside.astype(np.float32))[None, None]
    return torch.nn.functional.interpolate(mask, size=(side, side), mode="area")[0, 0].numpy()


def test_guided_map_follows_the_edges_of_the_photograph():
    pixels, inside = scene()
    saliency = small_map(inside)
    plain, guided = plain_upsample(saliency, inside.shape), guided_upsample(saliency, pixels)
    errors = [np.abs(result / 255 - inside).mean() for result in (plain, guided)]
    assert errors[1] < 0.6 * errors[0]


def test_constant_map_stays_constant():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    assert np.unique(guided_upsample(np.full((20, 20), 0.4, np.float32), pixels)).tolist() == [102]


def test_flat_photograph_smooths_but_keeps_the_mean():
    saliency = np.random.default_rng(0).random((20, 20), np.float32)
    result = guided_upsample(saliency, np.full((60, 60, 3), 128, np.uint8))
    assert result.mean() / 255 == pytest.approx(float(saliency.mean()), abs=0.02)


def test_bands_make_no_seam(monkeypatch):
    pixels, inside = scene()
    whole = guided_upsample(small_map(inside), pixels)
    monkeypatch.setattr("modicum.saliency.upsampling._BAND", 7 * 320)
    np.testing.assert_array_equal(guided_upsample(small_map(inside), pixels), whole)


@pytest.mark.parametrize("size", [(50, 61), (5, 6), (7, 40)])
def test_enlarging_is_torchs_bilinear(size):
    saliency = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    theirs = torch.nn.functional.interpolate(saliency[None, None], size=size, mode="bilinear")[0, 0].mul(255).numpy()
    grey = np.full((*size, 3), 90, np.uint8)
    assert np.abs(plain_upsample(saliency.numpy(), size) - theirs).max() <= 0.501
    assert np.abs(guided_upsample(saliency.numpy(), grey, radius=0) - theirs).max() <= 1


@pytest.mark.parametrize(("side", "radius"), [(16, 1), (64, 1), (128, 2), (224, 3), (320, 4), (352, 4)])
def test_window_goes_with_the_side_of_the_map(side, radius):
    assert default_radius(side) == radius


def test_small_map_is_not_blurred_where_the_photograph_has_no_edge():
    inside = np.zeros((256, 256), bool)
    inside[64:160, 96:200] = True
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    small = small_map(inside, side=64)
    default, wide = (
        np.abs(guided_upsample(small, pixels, radius=radius) / 255.0 - inside).mean() for radius in (None, 4)
    )
    assert default < 0.5 * wide


@pytest.mark.parametrize("radius", [0, 1, 4, 30])
def test_windows_are_means_of_what_lies_inside_the_map(radius):
    values = np.random.default_rng(0).random((9, 12))
    mean = torch.nn.functional.avg_pool2d(
        torch.from_numpy(values)[None, None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    np.testing.assert_allclose(_box(values, radius), mean[0, 0].numpy(), rtol=1e-12)
