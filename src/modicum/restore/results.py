"""What evaluating a restoration network yields, as plain values that serialise, print and are drawn by a report."""

# H W size of an image in px
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from modicum.restore.metrics import Scores
from modicum.storage.files import JSON


@dataclass(frozen=True)
class Method:
    """One line of the table: the network, or what it is to be held against.

    Attributes:
        name: What a reader calls it.
        scores: Means over the test images.
        seconds_per_megapixel: Of its run on the machine of the evaluation, beside whatever else that did; None where
            it was not taken.
        parameters: None for what has none.
        macs_per_pixel: Multiply-adds of the convolutions per pixel of the result; None where they are not counted.
        note: What a reader must know of it; empty for nothing.
    """

    name: str
    scores: Scores
    seconds_per_megapixel: float | None = None
    parameters: int | None = None
    macs_per_pixel: float | None = None
    note: str = ""


@dataclass(frozen=True)
class ImageScore:
    """What the network made of one test image.

    Attributes:
        name: Its id.
        network: Of the restored image.
        degraded: Of what the network got, enlarged where the task enlarges.
    """

    name: str
    network: Scores
    degraded: Scores


@dataclass(frozen=True)
class TileRow:
    """What tiles change.

    Attributes:
        tile: Side in pixels of the input.
        halo: Pixels thrown away at each inner side.
        feather: Pixels of the transition between neighbours.
        psnr_db: Of the tiled against the whole result; infinite where equal.
        max_difference: In grey levels of 255.
        psnr_change_db: Of the PSNR against the true image; negative is worse.
        work_factor: Pixels computed over pixels of the image.
    """

    tile: int
    halo: int
    feather: int
    psnr_db: float
    max_difference: float
    psnr_change_db: float
    work_factor: float


@dataclass(frozen=True, eq=False)
class Example:
    """A part of a test image at each stage; all (H, W) or (H, W, 3), uint8.

    Attributes:
        name: Id of the image.
        degraded: What the network got, enlarged where the task enlarges.
        restored: What it made of it.
        target: What is true.
        score: Of the whole image.
    """

    name: str
    degraded: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    target: NDArray[np.uint8]
    score: ImageScore


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a report on a restoration network shows.

    Attributes:
        system: Id of the system.
        task: What it undoes, in a few words.
        metric: How images are compared, in a few words.
        data: One line on the images.
        num_images: Images of each part, by its name.
        tile: Side of the tiles that the figures were made with, in pixels of the input; their halo.
        halo: Pixels thrown away at each inner side of a tile.
        methods: The network, then what it is held against.
        images: What the network made of each test image.
        tiles: What tiles change, on a part of a test image.
        examples: Parts of test images, those of greatest gain first.
        missing: Baselines that this machine has no library for, and how to get them.
    """

    system: str
    task: str
    metric: str
    data: str
    num_images: dict[str, int]
    tile: int
    halo: int
    methods: tuple[Method, ...]
    images: tuple[ImageScore, ...]
    tiles: tuple[TileRow, ...]
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data for JSON; of the examples only the names."""
        words = ("system", "task", "metric", "data", "num_images", "tile", "halo")
        return {
            **{name: getattr(self, name) for name in words},
            "methods": [asdict(method) for method in self.methods],
            "images": [asdict(image) for image in self.images],
            "tiles": [asdict(row) for row in self.tiles],
            "examples": [example.name for example in self.examples],
            "missing": list(self.missing),
        }
