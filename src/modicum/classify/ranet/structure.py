"""Plans a RANet from a few numbers, without torch: which block stands where and how wide it is.

L. Yang, Y. Han, X. Chen, S. Song, J. Dai, G. Huang, *Resolution Adaptive Networks for Efficient Inference*, CVPR 2020,
sections 3.2 and 3.3. Where the paper leaves the numbers open, the authors' code decides; one thing differs from it: a
second sub-network at the coarsest scale has nothing to scale down, and here it does not.
"""

# S sub-networks, E exits, L layers of a block, G growth; blocks and scales count from 1 as in the paper
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

LayerMode = Literal["even", "lengthening"]
StemName = Literal["cifar", "imagenet"]
HeadName = Literal["full", "lite"]
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
        shrunk: Channels after the transition; None if there is none.
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
    stem: StemName = "cifar"

    def __post_init__(self) -> None:
        for name in ("scales", "growth_factors", "bottleneck_factors"):  # lists, where they come from a file
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice("layer_mode", self.layer_mode, get_args(LayerMode))
        check_choice("stem", self.stem, get_args(StemName))
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
        """Plans the blocks of each sub-network, coarsest first."""
        plans: list[tuple[BlockPlan, ...]] = []
        for index, inputs in enumerate(self.stem_channels):
            coarser, blocks = plans[-1] if plans else (), list[BlockPlan]()
            for number in range(1, self._num_blocks(index) + 1):
                beside = coarser[number - 1] if number <= len(coarser) else None
                blocks.append(self._block(index, number, inputs, beside))
                inputs = blocks[-1].outputs
            plans.append(tuple(blocks))
        return tuple(plans)

    def _num_blocks(self, index: int) -> int:
        """Returns n_i."""
        return self.first_blocks + index * self.block_step

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
        """Returns the last blocks of the coarser sub-networks, as many as there are scales to come down."""
        lengths = [self._num_blocks(before) for before in range(index)]
        return tuple(lengths[len(lengths) - (self.scales[index] - 1) :])

    def _shrunk(self, index: int, number: int, channels: int) -> int | None:
        scale, num_blocks = self.scales[index], self._num_blocks(index)
        if number not in {part * num_blocks // scale for part in range(1, scale)}:
            return None
        if (kept := math.floor(self.reduction * channels)) < 1:
            raise ValueError(f"reduction {self.reduction} leaves nothing of {channels} channels: raise it")
        return kept


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises a ValueError that names both unless ``value`` is one of the choices."""
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
IMAGENET_MEDIUM = replace(
    IMAGENET_SMALL, growth_factors=(4, 2, 2, 1), bottleneck_factors=(4, 2, 2, 1), base_channels=32
)
IMAGENET_LARGE = replace(IMAGENET_MEDIUM, base_channels=64)
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
