"""Digests of contents, and by them whether the data of a run are still what it was begun with."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.storage.errors import DataError, ModicumError, RunError, first_few
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed

SAMPLES = "samples"
_REMEDY = "put a copy back, or begin a new run"
Parts = Mapping[Any, Sequence[str]]
"""Ids of samples by the name of their part."""


def content_digest(content: bytes) -> str:
    """Returns 32 hexadecimal digits that differ for different content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def array_digest(array: NDArray[Any]) -> str:
    """Returns 32 hexadecimal digits that differ for arrays of different shapes or values."""
    return content_digest(repr(array.shape).encode() + array.tobytes())


def picture_digests(content: bytes, pixels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Returns the digests that a picture may have as a sample: of its file, of its pixels, of its grey values.

    Args:
        content: The bytes of its file.
        pixels: Shape (H, W, 3), RGB.
    """
    forms = [content, pixels.tobytes()]
    if (pixels == pixels[:, :, :1]).all():
        forms.append(pixels[:, :, 0].tobytes())
    return tuple(map(content_digest, forms))


def sample_digest(*parts: bytes) -> str:
    """Returns 16 hexadecimal digits that differ for samples of different content, each given as its parts."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def keep_content(run: RunFolder, parts: Parts, digest: Callable[[str], str]) -> None:
    """Writes the digest of every sample into a run folder; to be called before its splits are written.

    Args:
        run: The run folder.
        parts: Ids of the samples by part.
        digest: From an id to the digest of its sample.

    Raises:
        RunError: If the run has been trained: then its splits were lost, and others would take their place.
    """
    if run.weights.is_file() or (run.state.is_file() and run.finished_stages()):
        raise RunError(
            f"{run.splits} is missing, although {run.path} has been trained: put a copy back, or begin a new run"
        )
    samples: dict[str, JSON] = {name: digest(name) for names in parts.values() for name in names}
    write_sealed(run.content, {SAMPLES: samples})


def kept_samples(run: RunFolder) -> Mapping[str, str] | None:
    """Reads the digest of each sample of a run's data, by id; None for a run that ``modicum adopt`` took over.

    Raises:
        DataError: If the file is missing or damaged.
    """
    samples: Mapping[str, str] | None = read_sealed(run.content, remedy=_REMEDY)[SAMPLES]
    return samples


def check_content(run: RunFolder, parts: Parts, digest: Callable[[str], str], origin: str) -> None:
    """Compares samples with the digests in a run folder.

    Args:
        run: The run folder; one that ``modicum adopt`` took over may have no digests, and nothing is compared.
        parts: Ids of the samples to look at, by part.
        digest: From an id to the digest of what is there now; several threads call it.
        origin: Where the data come from, for the message.

    Raises:
        DataError: If samples have changed or cannot be read; the message names some.
    """
    if not run.content.is_file():
        raise DataError(
            f"{run.content} is missing: an older modicum began this run, which did not note the content of its data; "
            f"if they are unchanged, take it over with: modicum adopt {run.path}"
        )
    kept = kept_samples(run)
    if kept is None:
        return
    ids = [name for names in parts.values() for name in names]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: _digest_or_none(digest, name), ids)
        changed = [name for name, now in zip(ids, found, strict=True) if kept.get(name) != now]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(ids)} samples of {origin} are not what {run.path} was begun with: "
            f"{first_few(changed)} changed; put them back, or begin a new run"
        )


def _digest_or_none(digest: Callable[[str], str], name: str) -> str | None:
    try:
        return digest(name)
    except ModicumError:  # what cannot be read has changed
        return None
