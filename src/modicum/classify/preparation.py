"""The data of a run: found, checked, split once, and handed out as batches."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader

from modicum.classify.data.loading import Batch, Collate, Sample, image_samples
from modicum.classify.data.opening import open_source
from modicum.classify.data.scan import scan
from modicum.classify.data.sources import ImageSource
from modicum.classify.data.splits import make_splits
from modicum.classify.notes import preprocessing_of
from modicum.classify.recipe import ImageOptions
from modicum.datasets.contents import sample_digest
from modicum.datasets.loaders import derive_seed, epoch_loader, ordered_loader
from modicum.datasets.preprocessing import Preprocessing
from modicum.datasets.scan import Scan, log_left_out, require_clean
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import Splits, splits_of_run
from modicum.storage.runs import RunFolder
from modicum.training.stages import Loaders

Divide = Callable[[ImageSource, Scan, Mapping[str, str]], Splits]
"""From images, what checking them found, and the digest of each good one with its class by its id, to parts."""

EVALUATION_BATCH = 100  # images per forward pass where no gradient is kept
MOST_KEPT_BYTES = 2**28  # of prepared images that are gone through several times: 446 at 224 px, 21,845 at 32 px


@dataclass(frozen=True)
class PreparedData:
    """Everything that training and evaluation need to know of a data set.

    Attributes:
        source: The images.
        splits: Which of them train, calibrate and test.
        preprocessing: How a picture becomes what the network gets.
        options: Batches and workers.
        seed: Of order and augmentation.
    """

    source: ImageSource
    splits: Splits
    preprocessing: Preprocessing
    options: ImageOptions
    seed: int

    def loaders(self, stage: str, train: list[int] | None = None) -> Loaders:
        """Returns training batches, in the stage's own order, and the calibration part for validation.

        Args:
            stage: Name of the stage.
            train: Indices of the images to train on; None for the whole training part.
        """
        seed = derive_seed(self.seed, stage) % 2**31
        indices = self.splits.indices(self.source, "train") if train is None else train
        turns = max(1, math.ceil(self.options.least_per_epoch / max(1, len(self.splits.train))))
        samples = image_samples(
            self.source,
            indices,
            self.preprocessing.train_transform(),
            seed,
            turns=turns,
            keep_px=self.preprocessing.training_detail if turns > 1 else None,
        )

        def train_batches(epoch: int, rank: int, world_size: int) -> DataLoader[Sample]:
            return epoch_loader(
                samples,
                Collate(self.preprocessing),
                batch_size=self.options.batch_size,
                num_workers=self.options.num_workers,
                epoch=epoch,
                seed=seed,
                rank=rank,
                world_size=world_size,
            )

        return Loaders(train_batches, lambda: self._in_order(self.splits.indices(self.source, "calibration")))

    def labels(self, part: Part) -> Tensor:
        """Returns the class (N,), int64, of each image of a part, in the order of `evaluate_on`."""
        return torch.tensor([self.source.records[index].label for index in self.splits.indices(self.source, part)])

    def evaluate_on(self, part: Part, device: torch.device | str = "cpu") -> "LabelledImages":
        """Returns images and labels of a part, prepared as for testing, in a fixed order."""
        return self.evaluate_indices(self.splits.indices(self.source, part), device)

    def evaluate_indices(self, indices: list[int], device: torch.device | str = "cpu") -> "LabelledImages":
        """Returns images and labels of some records of the source, prepared as for testing, in the given order."""
        return LabelledImages(lambda: self._in_order(indices), torch.device(device))

    def picture(self, index: int) -> Image.Image:
        """Returns an image of the source as the network sees it, before normalisation."""
        pixels = self.preprocessing.eval_transform()(self.source.pixels(index))
        return Image.fromarray(pixels.permute(1, 2, 0).numpy())

    def _in_order(self, indices: list[int]) -> DataLoader[Sample]:
        return ordered_loader(
            image_samples(self.source, indices, self.preprocessing.eval_transform()),
            Collate(self.preprocessing),
            batch_size=EVALUATION_BATCH,
            num_workers=self.options.num_workers,
        )


class LabelledImages:
    """Batches of images (n, 3, S, S) and labels (n,) on a device; the same on every iteration.

    The first iteration keeps them, unless they take more than `MOST_KEPT_BYTES`: a network whose routes cannot be
    listed is run on them some fifty times for a curve.
    """

    def __init__(self, loader: Callable[[], DataLoader[Sample]], device: torch.device) -> None:
        self._loader, self._device = loader, device
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._kept is not None:
            yield from self._kept
            return
        seen, num_bytes = list[tuple[Tensor, Tensor]](), 0
        for batch in self._load():
            num_bytes += batch[0].nbytes
            if num_bytes <= MOST_KEPT_BYTES:
                seen.append(batch)
            else:
                seen.clear()
            yield batch
        if num_bytes <= MOST_KEPT_BYTES:
            self._kept = seen

    def _load(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches: Iterator[Batch] = iter(self._loader())
        while True:
            with torch.inference_mode(False):  # else a later iteration could not compute gradients from what is kept
                batch = next(batches, None)
                if batch is None:
                    return
                images = batch.images.to(self._device, non_blocking=True)
                labels = batch.labels.to(self._device, non_blocking=True)
            yield images, labels


def prepare(
    data: str | None,
    options: ImageOptions,
    size: int,
    seed: int,
    run: RunFolder,
    *,
    parts: Collection[Part] = PARTS,
    divide: Divide | None = None,
) -> PreparedData:
    """Prepares the data of a run; the first time, checks every image and stores the splits in the run folder.

    Args:
        data: Where the images are; None is the embedded default.
        options: How images become batches.
        size: Side of the network's input in pixels.
        seed: Seed of the splits, the order and the augmentation.
        run: Where the splits are kept.
        parts: Parts that will be used; their images must be unchanged since the run began.
        divide: Draws the parts, once, in place of `draw_splits`' way.

    Raises:
        DataError: If there is nothing to train on, images have changed, or ``options.strict`` and an image cannot be
            read.
    """
    source = open_source(data, side=size)
    index_of = {record.id: index for index, record in enumerate(source.records)}

    drawn: dict[str, str] = {}  # digests of images that were decoded just now

    def draw() -> Splits:
        splits, digests = draw_splits(source, options, seed, divide)
        drawn.update(digests)
        return splits

    def digest(name: str) -> str:
        index = index_of[name]
        return drawn.get(name) or _sample_digest(source, index, source.digest(index))

    splits = splits_of_run(run, source, draw, digest, parts)
    return PreparedData(source, splits, preprocessing_of(options, size), options, seed)


def draw_splits(
    source: ImageSource, options: ImageOptions, seed: int, divide: Divide | None = None
) -> tuple[Splits, dict[str, str]]:
    """Checks every image of ``source``, names the bad ones, and splits the good ones; also their digests by id.

    Args:
        source: The images.
        options: Shares of the parts, and what becomes of bad images.
        seed: Of the draw.
        divide: Splits them; None draws the parts that the set lacks, stratified by class.

    Raises:
        DataError: If a class is left without images, or ``options.strict`` and an image cannot be read.
    """
    result = scan_with_progress(source, keep_contradictions=options.keep_contradictions)
    if options.strict:
        require_clean(result, source.origin)
    log_left_out(result, source.origin)
    found = zip(result.good, result.digests, strict=True)
    digests = {source.records[index].id: _sample_digest(source, index, digest) for index, digest in found}
    if divide:
        return divide(source, result, digests), digests
    return make_splits(
        source, result, calibration=options.calibration_share, test=options.test_share, seed=seed
    ), digests


def _sample_digest(source: ImageSource, index: int, digest: str) -> str:
    """Returns the digest of an image and its class."""
    return labelled_digest(digest, source.classes[source.records[index].label])


def labelled_digest(digest: str, label: str) -> str:
    """Returns the digest of an image whose content has ``digest``, and of the name of its class."""
    return sample_digest(digest.encode(), label.encode("utf-8", "surrogateescape"))


def scan_with_progress(source: ImageSource, *, keep_contradictions: bool = False) -> Scan:
    """Checks every image of ``source``, with a progress bar where standard error is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking images", total=len(source.records))
        return scan(source, lambda done, _: bar.update(task, completed=done), keep_contradictions=keep_contradictions)
