import pytest
import torch
from torch import nn

from modicum.exporting.resizing import exportable_resize
from modicum.nn.resizing import Resize


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear"])
@pytest.mark.parametrize(("side", "size"), [(224, 168), (64, 32), (48, 16), (37, 29), (32, 48)])
def test_matrices_equal_the_resize(side, size, kernel):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    resize = Resize(size, kernel)
    # Two sums of at most 10 products in single precision, whose order differs.
    torch.testing.assert_close(exportable_resize(resize, side)(images), resize(images), rtol=0, atol=2e-6)


def test_nothing_is_computed_for_the_same_size():
    assert isinstance(exportable_resize(Resize(48), 48), nn.Identity)


def test_weights_of_each_pixel_sum_to_one():
    weights = exportable_resize(Resize(16), 48).weights
    torch.testing.assert_close(weights.sum(1), torch.ones(16))
