"""What evaluating a saliency network yields, as plain values that serialise, print and are drawn by a report."""

# H W size of an image in px
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.duplicates import Duplicate
from modicum.saliency.attention_mass import AttentionMass
from modicum.saliency.metrics import Curves, Figures, ImageScore
from modicum.storage.files import JSON


@dataclass(frozen=True)
class MethodScores:
    """One line of the table: the network, or a baseline.

    Attributes:
        name: What a reader calls it.
        figures: Over the test part.
        curves: Over thresholds.
        parameters: None for what has none.
        macs: Multiply-adds of one prediction at the network's size; None for methods without a network.
    """

    name: str
    figures: Figures
    curves: Curves
    parameters: int | None = None
    macs: int | None = None


@dataclass(frozen=True, eq=False)
class Example:
    """A test image, its mask, and what the network made of it.

    Attributes:
        name: Its id.
        pixels: (H, W, 3) uint8.
        mask: (H, W) uint8, what is true.
        saliency: (H, W) uint8, the network's map.
        score: What the map reached.
    """

    name: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    saliency: NDArray[np.uint8]
    score: ImageScore


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a report on a trained saliency network shows.

    Attributes:
        system: Id of the system.
        data: One line on the data set, which training and test share.
        num_images: Images of each split, by its name.
        image_px: Side of the square that the network gets.
        methods: The network, then what it is held against.
        images: What each test map of the network reached.
        best: Test images with the highest structure measures, highest first.
        typical: Those around the median.
        worst: Those with the lowest, lowest first.
        attention: Attention on objects, per deep level; empty without attention.
        duplicates: Images of the training part that look like images of the test part; None where nothing looked.
    """

    system: str
    data: str
    num_images: dict[str, int]
    image_px: int
    methods: tuple[MethodScores, ...]
    images: tuple[ImageScore, ...]
    best: tuple[Example, ...]
    typical: tuple[Example, ...]
    worst: tuple[Example, ...]
    attention: tuple[AttentionMass, ...]
    duplicates: tuple[Duplicate, ...] | None

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON; examples by their names."""
        plain = {name: getattr(self, name) for name in ("system", "data", "num_images", "image_px")}
        examples = {kind: [e.name for e in getattr(self, kind)] for kind in ("best", "typical", "worst")}
        return {
            **plain,
            "methods": [asdict(method) for method in self.methods],
            "images": [asdict(image) for image in self.images],
            **examples,
            "attention": [{**asdict(mass), "difference": mass.difference} for mass in self.attention],
            "duplicates": None if self.duplicates is None else [asdict(pair) for pair in self.duplicates],
        }
