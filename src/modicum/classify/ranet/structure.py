"""The plan of a RANet, worked out from a few numbers and without torch: which block stands where and how wide it is.

L. Yang, Y. Han, X. Chen, S. Song, J. Dai, G. Huang, *Resolution Adaptive Networks for Efficient Inference*, CVPR 2020,
sections 3.2 and 3.3. Where the paper leaves the numbers open, the authors' code decides; one thing differs from it: a
second sub-network at the coarsest scale has nothing to scale down, and here it does not.
"""

# S sub-networks, E exits, L layers of a block, G growth; blocks and scales count from 1 as in the paper
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

LayerMode = Literal["even", "lengthening"]
Stem = Literal["cifar", "imagenet"]
MAX_BLOCKS = 1000  # of a sub-network; published ones have about ten, and all are planned before one is built


@dataclass(frozen=True)
class BlockPlan:
    """One block of one sub-network.

    Attributes:
        number: Its number k within the sub-network.
        inputs: Channels of its input f_0.
        growth: Channels that each layer adds, those from the coarser sub-network included.
        layers: How many layers it has, L.
        bottleneck_factor: Width of its bottlenecks, as a multiple of what they put out.
        coarser: The block of the same number in the coarser sub-network, which a fusion block reads; None for a dense
            block, which reads nothing but its input.
        fused: Of each layer's growth, channels that come from the coarser block; 0 for a dense block.
        appended: Channels from the coarser block that follow the last layer; 0 for a dense block.
        halves: The last layer halves the maps.
        shrunk: Channels after the transition; None where there is none.
    """

    number: int
    inputs: int
    growth: int
    layers: int
    bottleneck_factor: int
    coarser: "BlockPlan | None"
    fused: int
    appended: int
    halves: bool
    shrunk: int | None

    def recorded(self, layer: int) -> int:
        """Channels of f_l, the features after ``layer`` layers, in [0, L], as a finer block reads them."""
        return self.inputs + layer * self.growth

    @property
    def widest(self) -> int:
        """Channels before the transition."""
        return self.recorded(self.layers) + self.appended

    @property
    def outputs(self) -> int:
        """Channels of what the next block or an exit gets."""
        return self.widest if self.shrunk is None else self.shrunk

    @property
    def record_names(self) -> tuple[str, ...]:
        """Names of the tensors that it records: f_0 ... f_L are channel prefixes of one, or of two where it halves."""
        name = f"block_{self.number}"
        return (name, f"{name}_halved") if self.halves else (name,)


@dataclass(frozen=True)
class SegmentPlan:
    """What lies between two exits: the fusion blocks that open a sub-network, if any, one dense block and its exit.

    Attributes:
        subnetwork: Index of the sub-network, coarsest first.
        fusions: The fusion blocks to run first.
        dense: The dense block before the exit.
        stem_maps: Names of the stem's maps that it gets; the first is its own if it opens a sub-network.
        records: Names of the recorded tensors that it gets: of the coarser sub-network if it opens one, else its own.
        opens: It is the first of its sub-network.
        gets_current: It also gets the output of the block before, which a transition made different from any record.
        records_after: Names of the recorded tensors that it hands on.
        current_after: It also hands on its last block's output.
    """

    subnetwork: int
    fusions: tuple[BlockPlan, ...]
    dense: BlockPlan
    stem_maps: tuple[str, ...]
    records: tuple[str, ...]
    opens: bool
    gets_current: bool
    records_after: tuple[str, ...]
    current_after: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors that it gets, in order; those that the segment before hands on."""
        return (*self.stem_maps, *self.records, *(("current",) if self.gets_current else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that it hands on, in order; none at the end."""
        stem_maps = self.stem_maps[1:] if self.opens else self.stem_maps
        return (*stem_maps, *self.records_after, *(("current",) if self.current_after else ()))


@dataclass(frozen=True)
class Structure:
    """What a RANet is built from; defaults are those of the authors' code.

    Sequences have one entry per sub-network, coarsest first.

    Attributes:
        scales: Scale index; 1 is the coarsest, each step up doubles the resolution, equal neighbours share one.
        growth_factors: Multiplies both channels and growth.
        bottleneck_factors: Width of bottlenecks, as a multiple of what they put out.
        base_channels: Channels of the stem's finest map, at growth factor 1.
        growth: Channels that a layer adds, at growth factor 1.
        first_blocks: Blocks of the first sub-network.
        block_step: Blocks, hence exits, that each later sub-network has more.
        layers: Layers per block.
        layer_mode: "even" gives every block ``layers`` layers, "lengthening" gives block k of any sub-network k times
            as many.
        compression: Share of the new channels of a fusion block that comes from the coarser sub-network.
        reduction: Share of the channels that a transition keeps.
        stem: "cifar" starts at full resolution, "imagenet" at a quarter of it.

    Raises:
        ValueError: If no network can be built from these; the message says why.
    """

    scales: tuple[int, ...] = (1, 2, 3)
    growth_factors: tuple[int, ...] = (4, 2, 1)
    bottleneck_factors: tuple[int, ...] = (4, 2, 1)
    base_channels: int = 16
    growth: int = 6
    first_blocks: int = 2
    block_step: int = 2
    layers: int = 4
    layer_mode: LayerMode = "even"
    compression: float = 0.25
    reduction: float = 0.5
    stem: Stem = "cifar"

    def __post_init__(self) -> None:
        _check_choice("layer_mode", self.layer_mode, get_args(LayerMode))
        _check_choice("stem", self.stem, get_args(Stem))
        _check_scales(self.scales)
        for name in ("growth_factors", "bottleneck_factors"):
            _check_factors(name, getattr(self, name), len(self.scales))
        for name in ("base_channels", "growth", "first_blocks", "block_step", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_exits > MAX_BLOCKS:
            raise ValueError(
                f"first_blocks {self.first_blocks} and block_step {self.block_step} give the finest sub-network more "
                f"than {MAX_BLOCKS:,} blocks: lower them"
            )
        if not 0 < self.compression < 1:
            raise ValueError(f"compression must lie between 0 and 1, both excluded, got {self.compression}")
        if not 0 < self.reduction <= 1:
            raise ValueError(f"reduction must be above 0 and at most 1, got {self.reduction}")
        if len(self.scales) > 1:
            self._check_fusion()
        self.subnetworks()  # which finds transitions that leave nothing

    def _check_fusion(self) -> None:
        if self.layers < 2:
            raise ValueError(f"layers must be at least 2 where sub-networks are fused, got {self.layers}")
        least = self.growth * min(self.growth_factors[1:])
        if math.floor(least * self.compression) < 1:
            raise ValueError(
                f"compression {self.compression} leaves no channel for the coarser sub-network where a layer adds "
                f"{least}: raise it to {1 / least:.3g} or more, or raise growth"
            )

    @property
    def num_subnetworks(self) -> int:
        """How many sub-networks there are, S."""
        return len(self.scales)

    @property
    def num_exits(self) -> int:
        """How many exits there are, E."""
        return self.first_blocks + (self.num_subnetworks - 1) * self.block_step

    @property
    def stem_channels(self) -> tuple[int, ...]:
        """Channels of the stem's maps, coarsest first."""
        return tuple(self.base_channels * factor for factor in self.growth_factors)

    @property
    def total_stride(self) -> int:
        """Pixels of the image per position of the coarsest maps, where every exit works."""
        return int(2 ** (self.scales[-1] - 1)) * (4 if self.stem == "imagenet" else 1)

    def subnetworks(self) -> tuple[tuple[BlockPlan, ...], ...]:
        """The blocks of each sub-network, coarsest first."""
        plans: list[tuple[BlockPlan, ...]] = []
        for index in range(self.num_subnetworks):
            plans.append(self._blocks(index, plans[-1] if plans else ()))
        return tuple(plans)

    def segments(self) -> tuple[SegmentPlan, ...]:
        """The network cut after each exit, E pieces."""
        plans, earlier = [], 0
        subnetworks = self.subnetworks()
        for index, blocks in enumerate(subnetworks):
            coarser = subnetworks[index - 1] if index else ()
            plans += [self._segment(index, blocks, coarser, number) for number in range(earlier + 1, len(blocks) + 1)]
            earlier = len(blocks)
        return tuple(plans)

    def _num_blocks(self, index: int) -> int:
        """n_i, without those below 0."""
        return self.first_blocks + index * self.block_step if index >= 0 else 0

    def _blocks(self, index: int, coarser: Sequence[BlockPlan]) -> tuple[BlockPlan, ...]:
        """The blocks of sub-network ``index``, given those of the one before."""
        blocks: list[BlockPlan] = []
        inputs = self.stem_channels[index]
        for number in range(1, self._num_blocks(index) + 1):
            beside = coarser[number - 1] if number <= len(coarser) else None
            blocks.append(self._block(index, number, inputs, beside))
            inputs = blocks[-1].outputs
        return tuple(blocks)

    def _block(self, index: int, number: int, inputs: int, coarser: BlockPlan | None) -> BlockPlan:
        growth = self.growth * self.growth_factors[index]
        layers = self.layers * (number if self.layer_mode == "lengthening" else 1)
        widest = inputs + layers * growth
        appended = math.floor(widest * self.compression) if coarser else 0
        return BlockPlan(
            number=number,
            inputs=inputs,
            growth=growth,
            layers=layers,
            bottleneck_factor=self.bottleneck_factors[index],
            coarser=coarser,
            fused=math.floor(growth * self.compression) if coarser else 0,
            appended=appended,
            halves=number in self._halving_blocks(index),
            shrunk=self._shrunk(index, number, widest + appended),
        )

    def _halving_blocks(self, index: int) -> tuple[int, ...]:
        """The blocks at which the coarser sub-networks ended, as many of the last as there are scales to come down."""
        lengths = [self._num_blocks(before) for before in range(index)]
        return tuple(lengths[len(lengths) - (self.scales[index] - 1) :])

    def _shrunk(self, index: int, number: int, channels: int) -> int | None:
        scale, num_blocks = self.scales[index], self._num_blocks(index)
        if number not in {part * num_blocks // scale for part in range(1, scale)}:
            return None
        if (kept := math.floor(self.reduction * channels)) < 1:
            raise ValueError(f"reduction {self.reduction} leaves nothing of {channels} channels: raise it")
        return kept

    def _segment(
        self, index: int, blocks: Sequence[BlockPlan], coarser: Sequence[BlockPlan], number: int
    ) -> SegmentPlan:
        """The segment that ends with block ``number`` of sub-network ``index``, given its blocks and those before."""
        opens, ends = number == len(coarser) + 1, number == len(blocks)
        finest = index == self.num_subnetworks - 1
        stem_maps = tuple(f"stem_{level}" for level in range(index + 1, self.num_subnetworks + 1))

        def records_of(some: Sequence[BlockPlan]) -> tuple[str, ...]:
            return tuple(name for block in some for name in block.record_names)

        def is_apart(block: BlockPlan) -> bool:  # from the records; nobody reads those of the finest sub-network
            return finest or block.shrunk is not None

        own_before, own_after = ((), ()) if finest else (records_of(blocks[: number - 1]), records_of(blocks[:number]))
        return SegmentPlan(
            subnetwork=index,
            fusions=tuple(blocks[: len(coarser)]) if opens else (),
            dense=blocks[number - 1],
            stem_maps=stem_maps if opens else stem_maps[1:],
            records=records_of(coarser) if opens else own_before,
            opens=opens,
            gets_current=not opens and is_apart(blocks[number - 2]),
            records_after=own_after,
            current_after=not ends and is_apart(blocks[number - 1]),
        )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def _check_scales(scales: Sequence[int]) -> None:
    steps = {finer - coarser for coarser, finer in pairwise(scales)}
    if not scales or scales[0] != 1 or not steps <= {0, 1}:
        raise ValueError(
            f"scales must start at 1, the coarsest, and rise by 0 or 1 from each sub-network to the next, got {scales}"
        )


def _check_factors(name: str, factors: Sequence[int], num_subnetworks: int) -> None:
    if len(factors) != num_subnetworks:
        raise ValueError(f"{name} must have one entry per scale, {num_subnetworks}, got {len(factors)}: {factors}")
    if min(factors) < 1:
        raise ValueError(f"{name} must be at least 1, got {factors}")


CIFAR_6_EXITS = Structure()
CIFAR_6_EXITS_LENGTHENING = Structure(layers=2, layer_mode="lengthening")
CIFAR_8_EXITS = Structure(scales=(1, 2, 3, 3), growth_factors=(4, 2, 1, 1), bottleneck_factors=(4, 2, 1, 1))
IMAGENET_SMALL = Structure(
    scales=(1, 2, 3, 4),
    growth_factors=(4, 2, 1, 1),
    bottleneck_factors=(4, 2, 1, 1),
    base_channels=16,
    growth=16,
    layers=8,
    stem="imagenet",
)
IMAGENET_MEDIUM = Structure(
    scales=(1, 2, 3, 4),
    growth_factors=(4, 2, 2, 1),
    bottleneck_factors=(4, 2, 2, 1),
    base_channels=32,
    growth=16,
    layers=8,
    stem="imagenet",
)
IMAGENET_LARGE = Structure(
    scales=(1, 2, 3, 4),
    growth_factors=(4, 2, 2, 1),
    bottleneck_factors=(4, 2, 2, 1),
    base_channels=64,
    growth=16,
    layers=8,
    stem="imagenet",
)
DIGITS = Structure(base_channels=8, growth=4, layers=2)

STRUCTURES: dict[str, Structure] = {
    "cifar-6-exits": CIFAR_6_EXITS,
    "cifar-6-exits-lengthening": CIFAR_6_EXITS_LENGTHENING,
    "cifar-8-exits": CIFAR_8_EXITS,
    "digits": DIGITS,
    "imagenet-small": IMAGENET_SMALL,
    "imagenet-medium": IMAGENET_MEDIUM,
    "imagenet-large": IMAGENET_LARGE,
}
"""The published configurations by name, and one for small greyscale pictures, which trains within minutes."""
