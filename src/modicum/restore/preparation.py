"""From a set of photographs to those that train, watch and test: readable ones, no copies, divided by image."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

from modicum.datasets.contents import array_digest, sample_digest
from modicum.datasets.images import ImageSet, StoredImage
from modicum.datasets.scan import Scan, inspect_all, log_left_out, require_clean
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import IMPORTANCE, Splits, make_splits, splits_of_run
from modicum.imaging.decoding import BadImageError
from modicum.prediction import Failure
from modicum.restore.degradations import make_target
from modicum.restore.patch_options import PatchOptions
from modicum.restore.sources import clean_pixels, open_images
from modicum.restore.task import Task
from modicum.storage.runs import RunFolder


@dataclass(frozen=True)
class PreparedImages:
    """The usable images of a set, by what they are for; no two of them are equal.

    Attributes:
        images: The set.
        splits: Which of its images train, calibrate and test.
        left_out: Which images are not used, and why.
    """

    images: ImageSet
    splits: Splits
    left_out: tuple[Failure, ...] = ()

    def part(self, part: Part) -> tuple[StoredImage, ...]:
        """Returns the images of the part of that name."""
        return tuple(self.images.records[index] for index in self.splits.indices(self.images, part))


def prepare_images(images: ImageSet, task: Task, options: PatchOptions, *, seed: int = 0) -> PreparedImages:
    """Looks at every image once and divides them into parts, as a function of the set and the seed.

    Images that cannot be decoded, are smaller than a patch, or equal another are left out, and named in the log. Parts
    that the set itself provides stay as they are; parts that it lacks are drawn from the rest, image by image.

    Args:
        images: Clean images.
        task: What they will be used for.
        options: Says the size of patches, the shares, and whether unreadable images are refused.
        seed: Of the division.

    Raises:
        DataError: If a part would be empty; or, with ``options.strict``, if images are unreadable or too small.
    """
    digest = partial(_digest, images, task=task, least_px=options.side * task.scale)
    found = Scan.of(images, inspect_all(images, digest))
    if options.strict:
        require_clean(found, images.origin)
    found = _without_copies(images, found)
    log_left_out(found, images.origin)
    splits = make_splits(images, found, calibration=options.calibration_share, test=options.test_share, seed=seed)
    return PreparedImages(images, splits, found.bad)


def open_parts(
    data: str | None,
    task: Task,
    options: PatchOptions,
    seed: int,
    run: RunFolder,
    *,
    parts: Collection[Part] = PARTS,
) -> PreparedImages:
    """Returns the images of a run by part; the first time they are checked, and the division is kept.

    Args:
        data: Where the images are; None is the embedded default.
        task: What they are used for.
        options: How they are divided.
        seed: Of the division.
        run: Where the division is kept.
        parts: What will be looked at: these images must still be what the run was begun with.

    Raises:
        DataError: If the images cannot be used, or are no longer those of the run.
    """
    images = open_images(data)
    by_id = {image.id: image for image in images.records}

    def digest(name: str) -> str:
        return sample_digest(by_id[name].content())

    def draw() -> Splits:
        return prepare_images(images, task, options, seed=seed).splits

    return PreparedImages(images, splits_of_run(run, images, draw, digest, parts))


def _digest(images: ImageSet, index: int, task: Task, least_px: int) -> str:
    """Hashes the target of an image; raises `BadImageError` if the image cannot be used."""
    pixels = clean_pixels(images.records[index])
    if min(pixels.shape[:2]) < least_px:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise BadImageError(f"its {size} pixels do not hold a patch of {least_px} pixels")
    # A colour image and its grey form are copies where the task is on grey images.
    return array_digest(make_target(pixels, task))


def _without_copies(images: ImageSet, found: Scan) -> Scan:
    """Keeps one of equal images, the first of those in the most important part."""
    first: dict[str, int] = {}
    copies = []
    importance = {index: IMPORTANCE[images.records[index].split or "train"] for index in found.good}
    pairs = zip(found.good, found.digests, strict=True)
    for index, digest in sorted(pairs, key=lambda pair: -importance[pair[0]]):
        if (kept := first.setdefault(digest, index)) != index:
            copies.append(Failure(images.records[index].id, f"equals {images.records[kept].id}"))
    return replace(found.only(set(first.values())), bad=(*found.bad, *copies))
