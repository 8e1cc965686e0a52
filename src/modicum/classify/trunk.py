"""Trains the trunk of a pretrained backbone at a rate of its own, or not at all; the head is its last layer."""

from torch import nn

from modicum.classify.backbone_options import TRUNK
from modicum.nn.pretrained import find_heads
from modicum.training.optimisers import Parts
from modicum.training.recipe import OptimizerOptions


def backbone_parts(backbone: nn.Module, options: OptimizerOptions) -> Parts:
    """Returns the parameters of a classifier's backbone for an optimiser: in two parts if the trunk has its own rate.

    Args:
        backbone: A plain or adaptive backbone with a head.
        options: The trunk's rate, if it has one, stands in their ``part_rates``.
    """
    if TRUNK not in options.part_rates:
        return {"backbone": list(backbone.parameters())}
    heads, named = find_heads(backbone), dict(backbone.named_parameters())
    head = [weight for name, weight in named.items() if _is_head(name, heads)]
    trunk = [weight for name, weight in named.items() if not _is_head(name, heads)]
    return {TRUNK: trunk if options.part_rates[TRUNK] else [], "head": head}


def hold_trunk(backbone: nn.Module, options: OptimizerOptions) -> None:
    """Holds the trunk still where its rate is 0: no gradients, running statistics, no dropout.

    Call it when a stage is built, and again when its training starts, since others may have changed the modes.
    """
    if options.part_rates.get(TRUNK, 1.0):
        return
    heads = find_heads(backbone)
    for name, weight in backbone.named_parameters():
        if not _is_head(name, heads):
            weight.requires_grad_(False)
    for name, module in backbone.named_modules():
        holds_head = not name or any(head.startswith(f"{name}.") for head in heads)
        if not holds_head and not _is_head(name, heads):
            module.training = False


def _is_head(name: str, heads: tuple[str, ...]) -> bool:
    return name in heads or name.startswith(tuple(f"{head}." for head in heads))
