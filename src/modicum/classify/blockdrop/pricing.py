"""What each droppable block costs, counted on the ``meta`` device, and which networks cannot be priced."""

# B batch, K classes, S side of the image in pixels, U droppable blocks
import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from modicum.classify.blockdrop.droppable import DroppableBlock
from modicum.measuring.counting import count_macs


class BlockPrices(NamedTuple):
    """Multiply-adds per image."""

    per_unit: tuple[float, ...]  # of each block without its shortcut, which runs either way
    floor: float  # with every block dropped: stem, shortcuts, head


def price_blocks(backbone: nn.Module, num_classes: int, image_px: int) -> BlockPrices:
    """Counts one pass of a network with droppable blocks; nothing is computed.

    A block's price is that of the block on the features that reach it less that of its shortcut; the floor is what then
    remains of the whole. So any route costs the floor and the prices of what it keeps, exactly.

    Args:
        backbone: A classifier that `make_droppable` has changed; it stays as it is.
        num_classes: Classes K that it must tell apart.
        image_px: Side S of the images.

    Raises:
        ValueError: If the network does not return logits (B, K) for images (B, 3, S, S), does not run each droppable
            block once and in the order of their definition, or a shortcut does not give what its block gives.
    """
    name = type(backbone).__name__
    on_meta = copy.deepcopy(backbone).to("meta").float().eval()
    inputs: list[tuple[DroppableBlock, tuple[int, ...]]] = []

    def note_input(block: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(block, DroppableBlock)  # hooked below, on these alone
        inputs.append((block, tuple(args[0].shape[1:])))

    units = [module for module in on_meta.modules() if isinstance(module, DroppableBlock)]
    hooks = [unit.register_forward_pre_hook(note_input) for unit in units]
    whole = count_macs(
        lambda images: _check_logits(on_meta, images, num_classes, name), _on_meta(3, image_px, image_px)
    )
    for hook in hooks:
        hook.remove()
    order = [unit.index for unit, _ in inputs]
    if order != list(range(len(units))):
        raise ValueError(
            f"backbone {name} cannot be served: it must run each of its {len(units)} blocks once, in the order of "
            f"their definition, but runs {order}"
        )
    per_unit = tuple(float(_price_block(unit, shape)) for unit, shape in inputs)
    return BlockPrices(per_unit, whole - sum(per_unit))


def _on_meta(*shape: int) -> Tensor:
    return torch.empty(1, *shape, device="meta")


def _check_logits(on_meta: nn.Module, images: Tensor, num_classes: int, name: str) -> None:
    try:
        logits = on_meta(images)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # what networks raise on a size they refuse
        raise ValueError(f"backbone {name} cannot be served: at {images.shape[2]} px it fails with: {error}") from error
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"backbone {name} cannot be served: for one image of {images.shape[2]} px it returns {found}, "
            f"not logits of shape (1, {num_classes})"
        )


def _price_block(unit: DroppableBlock, shape: tuple[int, ...]) -> int:
    features, outputs = _on_meta(*shape), []
    whole = count_macs(lambda x: outputs.append(unit.block(x)), features)
    shortcut = count_macs(lambda x: outputs.append(unit.shortcut(x)), features)
    given, passed = (tuple(output.shape) for output in outputs)
    if given != passed:
        raise ValueError(
            f"block {unit.index} ({type(unit.block).__name__}) cannot be dropped: it gives features {given}, but its "
            f"shortcut {passed}"
        )
    return whole - shortcut
