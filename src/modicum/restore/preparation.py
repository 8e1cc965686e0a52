"""From a set of photographs to those that train, watch and test: readable ones, no copies, divided by image."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from modicum.contract import Failure
from modicum.imaging.decoding import BadImageError
from modicum.imaging.files import content_digest, left_out_line
from modicum.restore.degradations import make_target
from modicum.restore.patch_options import PatchOptions
from modicum.restore.sources import ImageSet, Part, StoredImage, open_images
from modicum.restore.task import Task
from modicum.storage.contents import check_content, keep_content, sample_digest
from modicum.storage.errors import DataError, first_few
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedImages:
    """The usable images of a set, by what they are for; no two of them are equal.

    Attributes:
        train: What networks are fitted on.
        calibration: What training is watched on.
        test: What figures are reported on.
        left_out: Which images are not used, and why.
    """

    train: tuple[StoredImage, ...]
    calibration: tuple[StoredImage, ...]
    test: tuple[StoredImage, ...]
    left_out: tuple[Failure, ...] = ()

    def part(self, part: Part) -> tuple[StoredImage, ...]:
        """The images of the part of that name."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}[part]

    def ids(self) -> dict[Part, list[str]]:
        """Names of the images of each part: what a run records."""
        return {part: [image.id for image in self.part(part)] for part in get_args(Part)}


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
    good, bad, copies = _inspect(images.images, task, options.side * task.scale)
    if bad and options.strict:
        raise DataError(f"{len(bad)} image(s) of {images.origin} cannot be used:\n{_lines(bad)}")
    if images.unread:
        line = left_out_line(images.unread, images.origin)
        if options.strict:
            raise DataError(line)
        _log.warning("%s", line)
    if left_out := (*bad, *copies):
        _log.warning("%d image(s) of %s are left out:\n%s", len(left_out), images.origin, _lines(left_out))
    parts = _divide(good, options, seed)
    if empty := [part for part in get_args(Part) if not parts[part]]:
        raise DataError(
            f"{images.origin} has {len(good)} usable image(s), none of them for {' or '.join(empty)}: training needs "
            "at least three different ones, for train, calibration and test"
        )
    return PreparedImages(parts["train"], parts["calibration"], parts["test"], left_out)


def open_parts(
    data: str | None,
    task: Task,
    options: PatchOptions,
    seed: int,
    run: RunFolder,
    *,
    parts: Collection[Part] = get_args(Part),
) -> tuple[PreparedImages, str]:
    """The images of a run by part, and what they are; the first time they are checked, and the division is kept.

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
    by_id = {image.id: image for image in images.images}

    def digest(name: str) -> str:
        return sample_digest(by_id[name].content())

    if run.splits.exists():
        restored = _restored_parts(images, read_sealed(run.splits, remedy="put a copy back, or begin a new run"))
        ids = restored.ids()
        check_content(run, {part: ids[part] for part in parts}, digest, images.origin)
        return restored, images.name
    prepared = prepare_images(images, task, options, seed=seed)
    if run.path.is_dir():  # other processes than the first may be here before it has made the folder
        keep_content(run, prepared.ids(), digest)
        write_sealed(run.splits, {part: list(ids) for part, ids in prepared.ids().items()})
    return prepared, images.name


def _restored_parts(images: ImageSet, kept: Mapping[str, Any]) -> PreparedImages:
    by_id = {image.id: image for image in images.images}
    if missing := sorted({name for part in get_args(Part) for name in kept[part]} - by_id.keys()):
        raise DataError(f"{images.origin} no longer holds {first_few(missing)}, which the run used: restore them")
    train, calibration, test = (tuple(by_id[name] for name in kept[part]) for part in get_args(Part))
    return PreparedImages(train, calibration, test)


def _inspect(
    images: Sequence[StoredImage], task: Task, least_px: int
) -> tuple[list[StoredImage], list[Failure], list[Failure]]:
    """Usable images; unreadable or too small ones; copies, of which the one with the most important part is kept."""
    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
        found = list(zip(images, pool.map(partial(_digest, task=task, least_px=least_px), images), strict=True))
    bad = [result for _, result in found if isinstance(result, Failure)]
    kept: dict[str, StoredImage] = {}
    copies: list[Failure] = []
    importance = {"test": 0, "calibration": 1, "train": 2, None: 2}
    for image, digest in sorted(found, key=lambda pair: importance[pair[0].part]):
        if isinstance(digest, Failure):
            continue
        first = kept.setdefault(digest, image)
        if first is not image:
            copies.append(Failure(image.id, f"equals {first.id}"))
    chosen = {image.id for image in kept.values()}
    return [image for image in images if image.id in chosen], bad, copies


def _digest(image: StoredImage, task: Task, least_px: int) -> str | Failure:
    """A hash of what a network would have to give for the image, or why the image cannot be used."""
    try:
        pixels = image.pixels()
    except BadImageError as error:
        return Failure(image.id, str(error))
    if min(pixels.shape[:2]) < least_px:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        return Failure(image.id, f"its {size} pixels do not hold a patch of {least_px} pixels")
    target = make_target(pixels, task)  # a colour image and its grey form are copies where the task is on grey images
    return content_digest(repr(target.shape).encode() + target.tobytes())


def _divide(images: Sequence[StoredImage], options: PatchOptions, seed: int) -> dict[Part, tuple[StoredImage, ...]]:
    shares: dict[Part, float] = {"test": options.test_share, "calibration": options.calibration_share}
    given = {image.part for image in images}
    part_of: dict[str, Part] = {image.id: image.part or "train" for image in images}
    pool = [image.id for image in images if part_of[image.id] == "train"]
    order = [pool[place] for place in np.random.default_rng(seed).permutation(len(pool))]
    for part, share in shares.items():
        if part not in given:
            count = max(round(share * len(pool)), 1)
            part_of.update(dict.fromkeys(order[:count], part))
            order = order[count:]
    return {part: tuple(image for image in images if part_of[image.id] == part) for part in get_args(Part)}


def _lines(failures: Iterable[Failure], limit: int = 20) -> str:
    lines = [f"  {failure.name}: {failure.reason}" for failure in failures]
    return "\n".join(lines[:limit] + ([f"  and {len(lines) - limit} more"] if len(lines) > limit else []))
