"""What a RANet runs between two exits, and what that costs."""

# B batch, n samples of a batch, C channels, H W positions, E exits, K classes
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from modicum.classify.ranet.blocks import DenseBlock, FusionBlock, Record, Stem, create_head
from modicum.classify.ranet.structure import HeadName, Structure
from modicum.measuring.counting import count_macs


class State(NamedTuple):
    """Holds what images carry from one exit to the next; all tensors have one row per image that has not left."""

    x: Tensor  # (n, C, H, W), of the last block: what the exit's head and the next block read
    recorded: tuple[Record, ...]  # by each block of this sub-network, for the next finer one; of the finest, none
    maps: tuple[Tensor, ...]  # of the stem, at which the finer sub-networks start, coarsest first

    @classmethod
    def start(cls, maps: tuple[Tensor, ...]) -> "State":
        """Begins with what the stem made: the coarsest sub-network starts at its own map."""
        return cls(maps[0], (), maps[1:])


class Segment(nn.Module):
    """Runs from one exit to the next: where a finer sub-network opens its fusion blocks, then a dense block.

    Args:
        fusions: The fusion blocks; none where the segment continues a sub-network, or opens the coarsest.
        dense: The dense block.
        head: The exit's classifier.
    """

    def __init__(self, fusions: Sequence[FusionBlock], dense: DenseBlock, head: nn.Module) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(fusions)
        self.dense = dense
        self.head = head

    def forward(self, state: State) -> State:
        """Returns the state at the exit; the head is not run."""
        x, recorded, maps = state
        if self.fusions:  # a finer sub-network starts at its own map, beside all blocks of the coarser one
            x, maps, coarser, recorded = maps[0], maps[1:], recorded, ()
            for fusion, beside in zip(self.fusions, coarser, strict=True):
                x, features = fusion(x, beside)
                recorded = (*recorded, features)
        x, features = self.dense(x)
        return State(x, (*recorded, features) if maps else (), maps)


class LastExit(nn.Module):
    """Answers with the last exit, without a decision: the heads before it are not computed."""

    def __init__(self, stem: Stem, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.stem, self.segments = stem, segments

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, K) of images (B, 3, H, W)."""
        state = State.start(self.stem(images))
        for segment in self.segments:
            state = segment(state)
        logits: Tensor = self.segments[-1].head(state.x)
        return logits


def create_segments(structure: Structure, num_classes: int, head: HeadName) -> Sequence[Segment]:
    """Creates all segments of a network, in order, as a ``ModuleList``."""
    segments: list[Segment] = []
    for blocks in structure.subnetworks():
        fusions = [plan for plan in blocks if plan.coarser]
        for plan in blocks[len(fusions) :]:
            opening = [FusionBlock(fusion) for fusion in fusions] if plan.number == len(fusions) + 1 else []
            dense, classifier = DenseBlock(plan), create_head(head, plan.outputs, num_classes, stem=structure.stem)
            segments.append(Segment(opening, dense, classifier))
    return cast(Sequence[Segment], nn.ModuleList(segments))  # torch's type does not say what it holds


class Pieces(NamedTuple):
    """Multiply-adds per image of each part of a network, E of each kind."""

    trunk: tuple[int, ...]  # from one exit's features to the next's; the first includes the stem
    heads: tuple[int, ...]


@lru_cache(maxsize=32)
def count_pieces(structure: Structure, num_classes: int, image_px: int, head: HeadName) -> Pieces:
    """Counts multiply-adds on modules without numbers, once per set of arguments."""
    with torch.device("meta"):
        stem, segments = Stem(structure), create_segments(structure, num_classes, head)
        images = torch.empty(1, 3, image_px, image_px)
    for part in (stem, *segments):
        _without_norms(part)
    states: list[State] = []

    def to_exit(segment: Segment) -> None:
        states.append(segment(states[-1]))

    stem_macs = count_macs(lambda: states.append(State.start(stem(images))))
    trunk = [count_macs(partial(to_exit, segment)) for segment in segments]
    heads = [count_macs(segment.head, state.x) for segment, state in zip(segments, states[1:], strict=True)]
    return Pieces((stem_macs + trunk[0], *trunk[1:]), tuple(heads))


def _without_norms(network: nn.Module) -> None:
    """Drops normalisations: they count as nothing, and are most of the work on tensors without numbers."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
