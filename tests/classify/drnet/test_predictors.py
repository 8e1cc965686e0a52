import pytest
import torch
from torch import nn

from modicum.classify.drnet.predictors import create_predictor, mobile_predictor, resnet10_predictor
from modicum.measuring.counting import count_network_macs


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def macs(predictor):
    return count_network_macs(predictor.network, (1, 3, predictor.thumbnail_px, predictor.thumbnail_px))


def test_published_predictor_has_the_published_size():
    predictor = resnet10_predictor(3)
    assert (num_parameters(predictor.network), macs(predictor)) == (4_907_331, 290_194_944)


def test_published_predictor_starts_as_published():
    network = resnet10_predictor(3).network
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.bias is None for conv in convolutions)
    assert network.fc.bias.abs().sum() == 0
    deepest = network.layer4[0].conv2.weight  # Kaiming normal, fan out: the variance is 2 / (9 * 512)
    assert deepest.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)


def test_mobile_predictor_has_the_stated_size():
    predictor = mobile_predictor(3)
    assert (num_parameters(predictor.network), macs(predictor)) == (41_203, 3_864_000)


@pytest.mark.parametrize(("name", "thumbnail_px"), [("resnet10", 128), ("mobile", 64), ("small", 24)])
@pytest.mark.parametrize("num_resolutions", [2, 5])
def test_thumbnails_give_one_logit_per_resolution(name, thumbnail_px, num_resolutions):
    predictor = create_predictor(name, num_resolutions, image_px=48)
    assert predictor.thumbnail_px == thumbnail_px
    thumbnails = torch.zeros(2, 3, thumbnail_px, thumbnail_px)
    assert predictor.network.eval()(thumbnails).shape == (2, num_resolutions)
