import numpy as np
import pytest
import torch

from modicum.saliency.upsampling import default_radius, guided_upsample, plain_upsample


def scene(height=240, width=320):
    """A bright disk on dark ground, and its mask."""
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - height / 2, columns - width / 2) < height / 4
    return np.where(inside[..., None], 210, 40).astype(np.uint8).repeat(3, 2), inside


def small_map(inside, side=40):
    mask = torch.from_numpy(inside.astype(np.float32))[None, None]
    return torch.nn.functional.interpolate(mask, size=(side, side), mode="area")[0, 0]


def test_guided_map_follows_the_edges_of_the_photograph():
    pixels, inside = scene()
    saliency = small_map(inside)
    plain, guided = plain_upsample(saliency, inside.shape), guided_upsample(saliency, pixels)
    errors = [np.abs(result / 255 - inside).mean() for result in (plain, guided)]
    assert errors[1] < 0.6 * errors[0]


def test_constant_map_stays_constant():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    assert np.unique(guided_upsample(torch.full((20, 20), 0.4), pixels)).tolist() == [102]


def test_flat_photograph_smooths_but_keeps_the_mean():
    saliency = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    result = guided_upsample(saliency, np.full((60, 60, 3), 128, np.uint8))
    assert result.mean() / 255 == pytest.approx(float(saliency.mean()), abs=0.02)


def test_bands_make_no_seam(monkeypatch):
    pixels, inside = scene()
    whole = guided_upsample(small_map(inside), pixels)
    monkeypatch.setattr("modicum.saliency.upsampling._BAND", 7 * 320)
    np.testing.assert_array_equal(guided_upsample(small_map(inside), pixels), whole)


def test_enlarging_is_torchs_bilinear():
    saliency = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    grey = np.full((50, 61, 3), 90, np.uint8)
    smoothed = guided_upsample(saliency, grey, radius=0)
    assert np.abs(smoothed.astype(int) - plain_upsample(saliency, (50, 61))).max() <= 1


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
