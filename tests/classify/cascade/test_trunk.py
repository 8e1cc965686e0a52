import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from modicum.classify.cascade.trunk import cut_trunk, feature_widths, pool_grid
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "mobilenetv2_035", "resnet10t", "regnety_002", "convnext_atto", "efficientnet_b0"]
)
def test_whole_trunk_of_timm_gives_the_maps_that_its_head_reads(name):
    network = timm.create_model(name).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps, _ = cut_trunk(network, 3, name)(images, 0, 3)
        assert_close(maps, network.forward_features(images))


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "efficientnet_b0"]
)
def test_whole_trunk_of_torchvision_gives_what_its_head_reads(name):
    network = torchvision.models.get_model(name, weights=None).eval()
    images, read = torch.randn(1, 3, 64, 64), []
    last = network.features if hasattr(network, "features") else list(network.children())[-3]  # before pool and head
    last.register_forward_hook(lambda layer, args, out: read.append(out))
    with torch.inference_mode():
        maps, _ = cut_trunk(network, 3, name)(images, 0, 3)
        network(images)
    assert_close(maps, read[0])


def test_running_piece_by_piece_is_running_at_once(lite):
    trunk, images = cut_trunk(lite, 3, "tf_efficientnet_lite0"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        whole, pooled = trunk(images, 0, 3)
        maps, first = trunk(images, 0, 1)
        maps, rest = trunk(maps, 1, 3)
    assert_close(maps, whole)
    assert_close(torch.cat([first, rest], dim=1), pooled)
    assert trunk.stages == (5, 6, 7)


@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 3), (4, 6), (7, 5)])
def test_quarters_are_those_of_adaptive_pooling(side):
    maps = torch.randn(2, 4, *side)
    expected = torch.cat(
        [maps.mean(dim=(2, 3)), nn.AdaptiveAvgPool2d(2)(maps).flatten(2).transpose(1, 2).flatten(1)], 1
    )
    assert_close(pool_grid(maps), expected)


def test_widths_are_five_times_the_channels_behind_each_piece(lite):
    assert feature_widths(cut_trunk(lite, 3, "lite"), 64) == (5 * 112, 5 * 192, 5 * 1280)


def test_network_of_no_known_family_is_refused_with_those_that_work():
    with pytest.raises(RecipeError, match=r"vit_tiny cannot be cut into stages.*tf_efficientnet_lite0"):
        cut_trunk(timm.create_model("vit_tiny_patch16_224"), 3, "vit_tiny")


def test_more_pieces_than_stages_are_refused():
    with pytest.raises(RecipeError, match="exits must be from 1 to 4, the stages of resnet18, got 5"):
        cut_trunk(torchvision.models.resnet18(), 5, "resnet18")


def test_size_that_the_trunk_cannot_run_is_refused_by_name():
    trunk = cut_trunk(nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 4, 9))}), 1, "own")
    with pytest.raises(RecipeError, match="cannot run images of 8 px"):
        feature_widths(trunk, 8)
