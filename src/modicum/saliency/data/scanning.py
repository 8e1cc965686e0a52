"""One pass over a set before training: what can be decoded, what cannot and why, and whether sizes agree."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from modicum.imaging.decoding import BadImageError
from modicum.saliency.data.sources import PairSource
from modicum.storage.errors import DataError

_QUEUE = 256  # images handed to the threads at a time: an interrupt waits for no more than these
_MAX_NAMED = 10


@dataclass(frozen=True)
class Scan:
    """What a pass over a source found.

    Attributes:
        good: Indices of the images that can be used, ascending.
        bad: Id and reason of each that cannot.
        digests: Content hashes of the good images, in their order.
    """

    good: tuple[int, ...]
    bad: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    digest: str | None
    fault: str = ""
    mismatch: str = ""


def scan(source: PairSource, *, strict: bool = False) -> Scan:
    """Decodes every image and mask of a source once, in threads.

    Args:
        source: The images.
        strict: Refuse a set with unreadable files, instead of going on without them.

    Raises:
        DataError: If a mask has another size than its image, nothing can be decoded, or ``strict`` and something
            cannot.
    """
    findings = list(_inspect_all(source))
    ids = [record.id for record in source.records]
    if mismatches := [f"{name}: {f.mismatch}" for name, f in zip(ids, findings, strict=True) if f.mismatch]:
        raise DataError(
            f"{len(mismatches)} mask(s) of {source.origin} differ in size from their image:\n{_lines(mismatches)}\n"
            "get an undamaged copy of the set, or resize these masks"
        )
    good = tuple(index for index, finding in enumerate(findings) if finding.digest is not None)
    bad = tuple((name, f.fault) for name, f in zip(ids, findings, strict=True) if f.digest is None)
    if bad and (strict or not good):
        raise DataError(
            f"{len(bad)} image(s) of {source.origin} cannot be used:\n{_lines([f'{n}: {r}' for n, r in bad])}"
        )
    return Scan(good, bad, tuple(finding.digest for finding in findings if finding.digest is not None))


def _inspect_all(source: PairSource) -> Iterator[_Finding]:
    total = len(source.records)
    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
        for start in range(0, total, _QUEUE):
            yield from pool.map(partial(_inspect, source), range(start, min(start + _QUEUE, total)))


def _inspect(source: PairSource, index: int) -> _Finding:
    try:
        pixels, mask = source.pair(index)
        digest = source.digest(index)
    except BadImageError as error:
        return _Finding(None, str(error))
    if pixels.shape[:2] == mask.shape:
        return _Finding(digest)
    image, other = (f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, mask.shape))
    return _Finding(None, "sizes differ", f"the image has {image} pixels, the mask {other}")


def _lines(items: list[str]) -> str:
    shown = [f"  {item}" for item in items[:_MAX_NAMED]]
    if len(items) > _MAX_NAMED:
        shown.append(f"  and {len(items) - _MAX_NAMED} more")
    return "\n".join(shown)
