import pytest
import torch
from torch import nn

from modicum.exporting.resizing import (
    MatrixResize,
    StridedResize,
    exportable_resize,
    replace_resizes,
    resize_weights,
)
from modicum.nn.resizing import Resize


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "size"), [(224, 168), (192, 128), (64, 32), (48, 16), (37, 29), (32, 48), (4, 2)])
def test_exportable_form_equals_the_resize(side, size, kernel):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    resize = Resize(size, kernel)
    # Two sums of at most 10 products in single precision, whose order differs.
    torch.testing.assert_close(exportable_resize(resize, side)(images), resize(images), rtol=0, atol=2e-6)


def test_nothing_is_computed_for_the_same_size():
    assert isinstance(exportable_resize(Resize(48), 48), nn.Identity)


def test_weights_of_each_pixel_sum_to_one():
    weights = resize_weights(Resize(16), 48)
    torch.testing.assert_close(weights.sum(1), torch.ones(16))


@pytest.mark.parametrize(
    ("side", "size", "form"), [(192, 64, StridedResize), (192, 128, StridedResize), (37, 29, MatrixResize)]
)
def test_weights_that_repeat_are_convolved_with(side, size, form):
    assert isinstance(exportable_resize(Resize(size), side), form)


def test_weights_that_do_not_repeat_are_refused_as_kernels():
    with pytest.raises(ValueError, match="weights from 37 to 29 pixels do not repeat"):
        StridedResize(Resize(29), 37)


def test_every_resize_of_a_network_is_replaced_by_what_its_images_need():
    network = nn.Sequential(Resize(48), nn.Sequential(nn.Conv2d(3, 3, 1), Resize(29))).eval()
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    replaced = replace_resizes(network, images)
    assert [type(part) for part in (replaced[0], replaced[1][1])] == [nn.Identity, MatrixResize]
    torch.testing.assert_close(replaced(images), network(images), rtol=0, atol=2e-6)
    assert isinstance(network[0], Resize)


def test_network_that_is_a_resize_is_replaced_itself():
    assert isinstance(replace_resizes(Resize(64), torch.zeros(2, 3, 192, 192)), StridedResize)
