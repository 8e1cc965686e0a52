"""Residual blocks that a row of the batch can bypass (Wu et al., *BlockDrop*, 2018, section 3.1).

A kept row runs the original block, which adds its own shortcut and activation, so published weights fit without
surgery; a dropped row runs the shortcut alone. No activation follows a dropped block: where the shortcut is a
convolution, negative values pass to the next block, as in the authors' code.
"""

# B rows of the batch, U droppable blocks
import copy
import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import timm.models._efficientnet_blocks as timm_mobile
import timm.models.regnet as timm_regnet
import timm.models.resnet as timm_resnet
import torchvision.models.mobilenetv2 as torchvision_mobile
import torchvision.models.regnet as torchvision_regnet
import torchvision.models.resnet as torchvision_resnet
from torch import Tensor, nn

from modicum.adaptive.per_call import PerCall
from modicum.classify.backbones import BasicBlock
from modicum.classify.blockdrop.plans import Plan

IDENTITY = ""  # the name of a shortcut that hands its input on


def _optional(name: str) -> Callable[[Any], str | None]:
    """Blocks whose shortcut is the submodule ``name``, or the input itself where that is None."""
    return lambda block: IDENTITY if isinstance(getattr(block, name), nn.Identity | None) else name


def _timm_regnet_shortcut(block: nn.Module) -> str | None:
    """Returns None if ``downsample`` is None, because such a block does not add its input."""
    return None if block.downsample is None else _optional("downsample")(block)


def _identity_if(flag: str) -> Callable[[Any], str | None]:
    """Blocks that add their input where ``flag`` is set, and have no shortcut elsewhere."""
    return lambda block: IDENTITY if getattr(block, flag) else None


# Exact classes: a subclass may compute something else.
_SHORTCUTS: dict[type[nn.Module], Callable[[Any], str | None]] = {
    BasicBlock: _optional("shortcut"),
    torchvision_resnet.BasicBlock: _optional("downsample"),
    torchvision_resnet.Bottleneck: _optional("downsample"),
    torchvision_regnet.ResBottleneckBlock: _optional("proj"),
    torchvision_mobile.InvertedResidual: _identity_if("use_res_connect"),
    timm_resnet.BasicBlock: _optional("downsample"),
    timm_resnet.Bottleneck: _optional("downsample"),
    timm_regnet.Bottleneck: _timm_regnet_shortcut,
    timm_mobile.InvertedResidual: _identity_if("has_skip"),
    timm_mobile.DepthwiseSeparableConv: _identity_if("has_skip"),
    timm_mobile.EdgeResidual: _identity_if("has_skip"),
}


class BlockSwitch:
    """Holds which blocks the rows of a call keep; all droppable blocks of a network read it during the call."""

    def __init__(self) -> None:
        self._plan: PerCall[Plan | None] = PerCall(None)

    @property
    def plan(self) -> Plan | None:
        """The plan of the call under way in this thread; None outside a call, where all is kept."""
        return self._plan.value

    def following(self, plan: Plan) -> AbstractContextManager[None]:
        """Runs the body, one pass through the network, as ``plan`` says, in this thread alone."""
        return self._plan.holding(plan)


class DroppableBlock(nn.Module):
    """A residual block whose rows each run the block or its shortcut alone, as the switch says.

    Args:
        block: The original block, shortcut included.
        shortcut: Name of the shortcut among the block's submodules; `IDENTITY` if it is the input itself.
        switch: What holds the plan of a run.
    """

    def __init__(self, block: nn.Module, shortcut: str, switch: BlockSwitch) -> None:
        super().__init__()
        self.block = block
        self.shortcut_name = shortcut
        self.switch = switch
        self.index = 0  # place among the droppable blocks of the network
        self.may_overwrite = False  # whether nobody but this block reads what the droppable block before it returns

    @property
    def shortcut(self) -> nn.Module:
        """What a dropped row runs; it belongs to the block and is not registered twice."""
        return nn.Identity() if self.is_identity else self.block.get_submodule(self.shortcut_name)

    @property
    def is_identity(self) -> bool:
        """Whether a dropped row stays as it is."""
        return self.shortcut_name == IDENTITY

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the shape that the original block gives; outside a run, its own features."""
        plan = self.switch.plan
        output: Tensor = self.block(x) if plan is None else plan.run(self, x)
        return output


def make_droppable(backbone: nn.Module, switch: BlockSwitch) -> list[DroppableBlock]:
    """Replaces, in place, every residual block of ``backbone`` that can be bypassed.

    Known are, by their exact class, the blocks of torchvision's ResNets (ResNeXt and wide ones among them), RegNets and
    MobileNetV2; of timm's ResNets, RegNets and networks of EfficientNet's blocks (inverted residual, depthwise
    separable, edge residual); and of the networks defined here. Blocks without a shortcut, such as the strided ones of
    MobileNets, stay as they are and always run.

    Args:
        backbone: The network; its state keeps its tensors under names with ``.block`` behind those of the blocks.
        switch: What will say which rows run which block.

    Returns:
        The droppable blocks, in the order in which the network defines them.

    Raises:
        ValueError: If ``backbone`` has no such block.
    """
    droppable: list[DroppableBlock] = []
    for name, module in list(backbone.named_modules()):
        shortcut_of = _SHORTCUTS.get(type(module))
        shortcut = None if shortcut_of is None else shortcut_of(module)
        if shortcut is not None:
            wrapped = DroppableBlock(module, shortcut, switch)
            wrapped.index = len(droppable)
            droppable.append(wrapped)
            backbone.set_submodule(name, wrapped)
    if not droppable:
        known = sorted({f"{kind.__module__}.{kind.__name__}" for kind in _SHORTCUTS})
        raise ValueError(
            f"backbone {type(backbone).__name__} has no block that can be bypassed; residual blocks are known by their "
            f"class: {', '.join(known)}"
        )
    _mark_chains(backbone)
    return droppable


def _mark_chains(backbone: nn.Module) -> None:
    """Lets a block overwrite its input where a plain chain of modules hands it from the droppable block before."""
    chains = (nn.Sequential.forward, timm_regnet.RegStage.forward)
    for container in backbone.modules():
        if type(container).forward not in chains:
            continue
        children = list(container.children())
        for before, block in itertools.pairwise(children):
            if isinstance(block, DroppableBlock):
                block.may_overwrite = isinstance(before, DroppableBlock)


def without_droppable(backbone: nn.Module, keep: Tensor | None = None) -> nn.Module:
    """Copies a network with droppable blocks as a plain network that runs only the blocks to keep.

    Args:
        backbone: A network changed by `make_droppable`; it is not modified.
        keep: Shape (U,), bool; None keeps all.
    """
    return _bypass(copy.deepcopy(backbone), keep)


def view_without_droppable(backbone: nn.Module, keep: Tensor) -> nn.Module:
    """As `without_droppable`, but with the very parameters and buffers of ``backbone``: it costs no memory."""
    tensors = [*backbone.parameters(), *backbone.buffers()]
    return _bypass(copy.deepcopy(backbone, {id(tensor): tensor for tensor in tensors}), keep)


def _bypass(plain: nn.Module, keep: Tensor | None) -> nn.Module:
    for name, module in list(plain.named_modules()):
        if isinstance(module, DroppableBlock):
            is_kept = keep is None or bool(keep[module.index])
            plain.set_submodule(name, module.block if is_kept else module.shortcut)
    return plain
