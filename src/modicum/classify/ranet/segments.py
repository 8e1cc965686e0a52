"""A RANet cut at its exits: each segment runs alone, from a flat tuple of tensors, so that it can be left out.

Only what later segments read is handed on; the features of a sub-network end with the segment that opens the next.
"""

# n samples, C channels, H W positions, E exits, K classes
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from modicum.classify.ranet.blocks import DenseBlock, FusionBlock, HeadName, Record, Stem, create_head
from modicum.classify.ranet.structure import BlockPlan, SegmentPlan, Structure
from modicum.measuring.counting import count_macs

T = TypeVar("T")

State = tuple[Tensor, ...]
"""What a segment needs of those before it; `SegmentPlan.inputs` names the tensors."""


class Segment(nn.Module):
    """What lies between two exits, with the later one; what it needs comes and goes as a flat tuple of tensors.

    Args:
        plan: Its blocks.
        num_classes: Classes K.
        head: The exit's kind.
        stem: The stem's kind, on which the published exit's width depends.
    """

    def __init__(self, plan: SegmentPlan, num_classes: int, *, head: HeadName, stem: str) -> None:
        super().__init__()
        self.plan = plan
        self.fusions = nn.ModuleList(FusionBlock(block) for block in plan.fusions)
        self.dense = DenseBlock(plan.dense)
        self.head = create_head(head, plan.dense.outputs, num_classes, stem=stem)

    def features(self, *state: Tensor) -> tuple[Tensor, State]:
        """What the exit's head reads, (n, C, H, W), and the state for the next segment; the head is not run."""
        stem_maps, rest = state[: len(self.plan.stem_maps)], state[len(self.plan.stem_maps) :]
        if not self.plan.opens:
            x, record = self.dense(rest[-1])
            own = rest[: len(self.plan.records)] + record
        elif self.plan.fusions:
            x, own = self._fuse(stem_maps[0], _as_records(rest, self.plan.fusions))
            x, record = self.dense(x)
            own += record
        else:
            x, own = self.dense(stem_maps[0])
        return x, self._hand_on(stem_maps[1:] if self.plan.opens else stem_maps, own, x)

    def forward(self, *state: Tensor) -> tuple[Tensor, State]:
        """Logits (n, K) of the exit, and the state for the next segment."""
        features, after = self.features(*state)
        return self.head(features), after

    def _fuse(self, x: Tensor, coarser: Sequence[Record]) -> tuple[Tensor, Record]:
        """The fusion blocks that open a sub-network, and all that they record."""
        own: Record = ()
        for fusion, record in zip(self.fusions, coarser, strict=True):
            x, new = fusion(x, record)
            own += new
        return x, own

    def _hand_on(self, stem_maps: State, own: Record, x: Tensor) -> State:
        """Only what later segments read, so that the rest is freed."""
        return (*stem_maps, *(own if self.plan.records_after else ()), *((x,) if self.plan.current_after else ()))


class LastExit(nn.Module):
    """A network that answers with the last exit, without a decision: the heads before it are not computed."""

    def __init__(self, stem: nn.Module, segments: nn.ModuleList) -> None:
        super().__init__()
        self.stem, self.segments = stem, segments

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        state = self.stem(images)
        *earlier, last = cast(list[Segment], list(self.segments))
        for segment in earlier:
            _, state = segment.features(*state)
        return last(*state)[0]  # type: ignore[no-any-return]  # of torch's modules


def create_segments(structure: Structure, num_classes: int, head: HeadName) -> nn.ModuleList:
    """All segments of a network, in order."""
    return nn.ModuleList(Segment(plan, num_classes, head=head, stem=structure.stem) for plan in structure.segments())


def _as_records(tensors: State, fusions: Sequence[BlockPlan]) -> list[Record]:
    """What the blocks beside ``fusions`` recorded, one entry each, from all their tensors in a row."""
    records, start = [], 0
    for fusion in fusions:
        assert fusion.coarser is not None  # what makes it a fusion block
        end = start + len(fusion.coarser.record_names)
        records.append(tensors[start:end])
        start = end
    return records


@functools.lru_cache(maxsize=32)
def count_pieces(
    structure: Structure, num_classes: int, image_px: int, head: HeadName
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Multiply-adds per image from one exit's features to the next's, stem included, and of each head: E of each.

    Counted on modules without numbers, once per set of arguments.
    """
    trunk: list[int] = []
    heads: list[int] = []
    with torch.device("meta"):
        stem, segments = Stem(structure), create_segments(structure, num_classes, head)
    for part in (stem, segments):
        _without_norms(part)
    macs, state = _count_and_run(stem, torch.empty(1, 3, image_px, image_px, device="meta"))
    for segment in cast(list[Segment], list(segments)):
        more, (features, state) = _count_and_run(segment.features, *state)
        trunk.append(macs + more)
        heads.append(count_macs(segment.head, features))
        macs = 0  # the stem's count to the first exit only
    return tuple(trunk), tuple(heads)


def _count_and_run(run: Callable[..., T], *inputs: Tensor) -> tuple[int, T]:
    outputs: list[T] = []
    macs = count_macs(lambda *inputs: outputs.append(run(*inputs)), *inputs)
    return macs, outputs[0]


def _without_norms(network: nn.Module) -> None:
    """Normalisations count as nothing, and are most of the work on tensors without numbers."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
