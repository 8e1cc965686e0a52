"""Pictures without classes from a folder, to test a guarantee on: readable, each once, none of the run's own data."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from modicum.adaptive.contract import device_of, dtype_of
from modicum.classify.evidence import AdaptiveClassifier
from modicum.classify.guarantee import Images, batch_places
from modicum.classify.notes import read_classes
from modicum.classify.preparation import labelled_digest
from modicum.datasets.contents import kept_samples, picture_digests
from modicum.datasets.images import ImageSet, read_images
from modicum.datasets.preprocessing import Preprocessing
from modicum.datasets.scan import Scan, inspect_all, log_left_out
from modicum.datasets.sources import Part
from modicum.datasets.splits import Splits
from modicum.imaging.decoding import decode_pixels
from modicum.storage.errors import DataError, first_few
from modicum.storage.runs import RunFolder

log = logging.getLogger(__name__)


def open_pictures(
    folder: str | Path,
    model: AdaptiveClassifier,
    preprocessing: Preprocessing,
    run: RunFolder,
    *,
    parts: Collection[Part],
) -> Images:
    """Returns the pictures of a folder that say something new about a run; what is left out is logged.

    Left out are files that cannot be read, further copies of a picture, and pictures of the run's own data: the network
    learnt from them, or will be tested on them. Copies are known by their content, the bytes of the file or the pixels.

    Args:
        folder: A folder of images at any depth, an uncompressed tar of images, or one image file.
        model: The network; pictures come on its device.
        preprocessing: How a picture becomes what the network gets.
        run: Run folder, with the digests of its data.
        parts: The parts of these data whose images are left out.

    Raises:
        DataError: If nothing is there, or no picture is left.
    """
    pictures = read_images(folder)
    known: dict[str, tuple[str, ...]] = {}  # by id: digests of its content, however the run's data may have been stored

    def inspect(index: int) -> str:
        content = pictures.records[index].content()
        known[pictures.records[index].id] = digests = picture_digests(content, decode_pixels(content))
        return digests[0]

    scan = Scan.of(pictures, inspect_all(pictures, inspect))
    log_left_out(scan, pictures.origin)
    first = {digest: index for index, digest in reversed(list(zip(scan.good, scan.digests, strict=True)))}
    own = _own_pictures(
        run, parts, {pictures.records[index].id: known[pictures.records[index].id] for index in first.values()}
    )
    kept = sorted(index for index in first.values() if pictures.records[index].id not in own)
    _tell_left_out(pictures.origin, copies=scan.copies, own=own, parts=parts)
    if not kept:
        raise DataError(
            f"{pictures.origin} holds no picture that can be used: give pictures that are not the run's own"
        )
    return _as_images(pictures, kept, model, preprocessing)


def _own_pictures(run: RunFolder, parts: Collection[Part], digests: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Returns the names of the pictures that stand in some parts of a run's data, whatever their class is there."""
    samples = kept_samples(run)
    if samples is None:
        log.warning(
            "%s was made by an older modicum and has no digests: make sure that none of the pictures is in its data",
            run.path,
        )
        return []
    splits, classes = Splits.load(run.splits), read_classes(run.weights)
    own = {samples.get(name) for part in parts for name in splits.part(part)}
    return [
        name
        for name, known in digests.items()
        if any(labelled_digest(digest, label) in own for digest in known for label in classes)
    ]


def _tell_left_out(origin: str, *, copies: int, own: Sequence[str], parts: Collection[Part]) -> None:
    if copies:
        log.warning("left out %d picture(s) of %s that are copies of others", copies, origin)
    if own:
        told = "left out %d picture(s) of %s that are in the run's own data (%s): %s"
        log.warning(told, len(own), origin, " or ".join(parts), first_few(sorted(own)))


def _as_images(
    pictures: ImageSet, kept: Sequence[int], model: AdaptiveClassifier, preprocessing: Preprocessing
) -> Images:
    transform, device, dtype = preprocessing.eval_transform(), device_of(model), dtype_of(model)

    def read(place: int) -> Tensor:
        return transform(pictures.records[kept[place]].pixels())

    def batches_of(places: list[int]) -> Iterator[Tensor]:
        with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
            for batch in batch_places(places):
                pixels = torch.stack(list(pool.map(read, batch)))
                yield preprocessing.normalise(pixels.to(device)).to(dtype)

    return Images(tuple(pictures.records[index].id for index in kept), batches_of, source=pictures.origin)
