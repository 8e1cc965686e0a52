import pytest
import torch

from modicum.measuring.counting import count_macs
from modicum.saliency.unet import UNet, unet_macs, unet_of_cost


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (9, 8)])
def test_map_has_the_size_of_the_image(size):
    with torch.inference_mode():
        saliency = UNet(2).eval().saliency(torch.randn(2, 3, *size))
    assert saliency.shape == (2, 1, *size)
    assert 0 < saliency.min() <= saliency.max() < 1


@pytest.mark.parametrize(("width", "side"), [(1, 32), (5, 64), (8, 50)])
def test_cost_is_the_one_that_is_counted(width, side):
    with torch.device("meta"):
        network = UNet(width).eval()
        counted = count_macs(network, torch.empty(1, 3, side, side))
    assert unet_macs(width, side) == counted


def test_network_of_a_cost_is_the_widest_within_it():
    budget = unet_macs(7, 64) + 1
    assert unet_of_cost(budget, 64).width == 7


def test_budget_below_one_channel_is_refused():
    with pytest.raises(ValueError, match="10 multiply-adds are too few for a U-Net: one channel takes"):
        unet_of_cost(10, 64)


def test_width_below_one_is_refused():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        UNet(0)
