import pytest
import timm
import torch
import torchvision
from torch import nn

from modicum.classify.backbones import BasicBlock, SmallResNet
from modicum.classify.blockdrop.chain import cut_into_chain
from modicum.classify.blockdrop.droppable import BlockSwitch, DroppableBlock, make_droppable
from modicum.exporting import ExportError


def droppable(network):
    make_droppable(network, BlockSwitch())
    return network.eval()


@pytest.mark.parametrize(
    ("build", "num_pieces"),
    [
        (lambda: SmallResNet(5, widths=(4, 8), blocks=2), 2),
        (lambda: torchvision.models.resnet18(num_classes=5), 2),
        (lambda: timm.create_model("regnety_002", num_classes=5), 2),
        (lambda: torchvision.models.mobilenet_v2(num_classes=5), 6),  # five runs of blocks without a shortcut
    ],
)
def test_the_parts_one_after_the_other_give_what_the_network_gives(build, num_pieces):
    torch.manual_seed(0)
    network, images = droppable(build()), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected, found = network(images), images
        chain = cut_into_chain(network)
        for part in chain:
            found = part(found)
    assert torch.equal(found, expected)
    assert sum(not isinstance(part, DroppableBlock) for part in chain) == num_pieces


def test_blocks_come_in_the_order_in_which_they_run():
    chain = cut_into_chain(droppable(SmallResNet(5, widths=(4, 8), blocks=2)))
    assert [part.index for part in chain if isinstance(part, DroppableBlock)] == [0, 1, 2, 3]


def test_parts_share_the_parameters_of_the_network():
    network = droppable(SmallResNet(5, widths=(4, 8)))
    chain = nn.ModuleList(cut_into_chain(network))
    assert {id(value) for value in chain.parameters()} == {id(value) for value in network.parameters()}


class Bare(nn.Module):
    """Nothing before, between and behind two blocks."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(BasicBlock(3, 3, stride=1) for _ in range(2)))

    def forward(self, x):
        return self.blocks(x)


class Scaled(nn.Module):
    """A parameter of the network itself is used behind the blocks."""

    def __init__(self):
        super().__init__()
        self.block = BasicBlock(3, 3, stride=1)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.block(x).mean((2, 3)) * self.scale


class Reaching(nn.Module):
    """What precedes a block is read behind it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.block = BasicBlock(3, 3, stride=1)

    def forward(self, x):
        x = self.stem(x)
        return self.block(x) + x


class Asking(nn.Module):
    """What runs depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.block = BasicBlock(3, 3, stride=1)

    def forward(self, x):
        return self.block(x) if x.sum() > 0 else x


class TwoInputs(nn.Module):
    """Images alone do not determine the result."""

    def __init__(self):
        super().__init__()
        self.block = BasicBlock(3, 3, stride=1)

    def forward(self, x, y):
        return self.block(x + y)


class TwoOutputs(nn.Module):
    """Logits and features."""

    def __init__(self):
        super().__init__()
        self.block = BasicBlock(3, 3, stride=1)

    def forward(self, x):
        x = self.block(x)
        return x.mean((2, 3)), x


def test_where_nothing_happens_there_is_no_piece():
    assert all(isinstance(part, DroppableBlock) for part in cut_into_chain(droppable(Bare())))


def test_a_parameter_of_the_network_itself_goes_with_its_piece():
    network, images = droppable(Scaled()), torch.randn(2, 3, 4, 4)
    block, head = cut_into_chain(network)
    torch.testing.assert_close(head(block(images)), network(images))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Reaching(), "Reaching cannot be cut at its blocks: add reads stem, past block; only networks"),
        (Asking(), "Asking cannot be cut at its blocks, because its code cannot be traced: symbolically traced"),
        (TwoInputs(), "TwoInputs cannot be cut at its blocks: it takes 2 inputs"),
        (TwoOutputs(), "TwoOutputs cannot be cut at its blocks: output takes more than one value"),
    ],
)
def test_what_is_no_chain_is_refused_with_the_reason(network, reason):
    with pytest.raises(ExportError, match=reason):
        cut_into_chain(droppable(network))
