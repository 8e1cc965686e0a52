import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from modicum.classify.backbones import SmallResNet, create_backbone
from modicum.classify.blockdrop.droppable import (
    BlockSwitch,
    make_droppable,
    view_without_droppable,
    without_droppable,
)


def addresses(network):
    return {value.data_ptr() for value in network.state_dict().values()}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return SmallResNet(5, widths=(4, 8), blocks=2, shortcut="pool").eval()


# --- which blocks are found ---


@pytest.mark.parametrize(
    ("name", "droppable", "with_shortcut"),
    [
        ("cifar_resnet20", 9, 2),
        ("cifar_resnet20_pool", 9, 2),
        ("resnet18", 8, 3),
        ("resnext50_32x4d", 16, 4),
        ("regnet_y_400mf", 16, 4),
        ("mobilenet_v2", 10, 0),  # 17 blocks, of which 7 change the shape and have no shortcut
        ("test_resnet", 4, 3),
        ("regnety_002", 13, 4),
        ("seresnet50", 16, 4),
        ("mobilenetv3_small_050", 7, 0),
    ],
)
def test_residual_blocks_of_known_networks_are_found(name, droppable, with_shortcut):
    units = make_droppable(create_backbone(name, 10), BlockSwitch())
    assert len(units) == droppable
    assert sum(not unit.is_identity for unit in units) == with_shortcut
    assert [unit.index for unit in units] == list(range(droppable))


def test_wide_resnet_101_offers_its_33_blocks():
    with torch.device("meta"):
        network = torchvision.models.wide_resnet101_2()
    assert len(make_droppable(network, BlockSwitch())) == 33


@pytest.mark.parametrize("name", ["vgg11", "vit_b_16"])
def test_network_without_known_blocks_is_refused(name):
    with torch.device("meta"):
        network = create_backbone(name, 10)
    with pytest.raises(
        ValueError, match=r"backbone \w+ has no block that can be bypassed.*torchvision\.models\.resnet"
    ):
        make_droppable(network, BlockSwitch())


def test_block_whose_shortcut_is_missing_stays():
    with torch.device("meta"):
        network = timm.create_model("regnetz_005")  # its blocks that change the shape have no shortcut
    units = make_droppable(network, BlockSwitch())
    blocks = [module for module in network.modules() if type(module).__name__ == "Bottleneck"]
    assert len(blocks) - len(units) == 4
    assert all(unit.is_identity for unit in units)


def test_subclass_of_a_known_block_stays():
    class Other(torchvision.models.resnet.BasicBlock):
        pass

    with pytest.raises(ValueError, match="backbone Sequential has no block that can be bypassed"):
        make_droppable(nn.Sequential(Other(4, 4)), BlockSwitch())


# --- what wrapping leaves alone ---


def test_wrapped_network_computes_the_same_outside_a_run(backbone):
    images = torch.randn(2, 3, 16, 16)
    before = backbone(images)
    make_droppable(backbone, BlockSwitch())
    assert torch.equal(backbone(images), before)


def test_no_tensor_is_stored_twice(backbone):
    before = len(backbone.state_dict())
    make_droppable(backbone, BlockSwitch())
    assert len(backbone.state_dict()) == before


def test_copy_of_a_wrapped_network_follows_its_own_switch(backbone):
    switch = BlockSwitch()
    units = make_droppable(backbone, switch)
    copied = [module for module in copy.deepcopy(backbone).modules() if type(module) is type(units[0])]
    assert len({id(unit.switch) for unit in copied}) == 1
    assert copied[0].switch is not switch


def test_only_blocks_in_a_chain_may_overwrite_their_input(backbone):
    units = make_droppable(backbone, BlockSwitch())
    assert [unit.may_overwrite for unit in units] == [False, True, False, True]


def test_block_that_a_custom_network_calls_may_not_overwrite():
    class Custom(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (torchvision.models.resnet.BasicBlock(4, 4) for _ in range(2))

        def forward(self, x):
            first = self.a(x)
            return self.b(first) + first

    assert not any(unit.may_overwrite for unit in make_droppable(Custom(), BlockSwitch()))


# --- plain networks ---


def test_plain_network_has_the_original_names(backbone):
    names = list(backbone.state_dict())
    make_droppable(backbone, BlockSwitch())
    assert list(without_droppable(backbone).state_dict()) == names


def test_bypassed_network_holds_only_the_blocks_to_keep(backbone):
    make_droppable(backbone, BlockSwitch())
    bypassed = without_droppable(backbone, torch.tensor([True, False, False, True]))
    kept = [name for name in bypassed.state_dict() if name.endswith("conv2.weight")]
    assert kept == ["layers.0.0.conv2.weight", "layers.1.1.conv2.weight"]


def test_copy_shares_no_memory_and_view_shares_all(backbone):
    make_droppable(backbone, BlockSwitch())
    keep = torch.ones(4, dtype=torch.bool)
    assert not addresses(without_droppable(backbone, keep)) & addresses(backbone)
    assert addresses(view_without_droppable(backbone, keep)) == addresses(backbone)
