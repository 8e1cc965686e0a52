"""One pass over all images before training: which can be decoded, which cannot and why, and which are copies."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from modicum.classify.data.sources import ImageSource
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError

_QUEUE = 512  # images handed to the threads at a time: an interrupt waits for no more than these


@dataclass(frozen=True)
class Scan:
    """What a pass over a source found.

    Attributes:
        good: Indices of the images that can be decoded, ascending.
        bad: Id and reason of each image that cannot.
        digests: Content hashes of the good images, in their order.
    """

    good: tuple[int, ...]
    bad: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]


def scan(source: ImageSource, progress: Callable[[int, int], None] | None = None) -> Scan:
    """Decodes every image of a source once, in threads.

    Args:
        source: The images.
        progress: Called with the number of images done and their total after each image, in this thread.

    Raises:
        DataError: If a class has no image that can be decoded.
    """
    good: list[int] = []
    digests: list[str] = []
    bad: list[tuple[str, str]] = []
    total = len(source.records)
    for index, (digest, reason) in enumerate(_inspect_all(source)):
        if digest is None:
            bad.append((source.records[index].id, reason))
        else:
            good.append(index)
            digests.append(digest)
        if progress is not None:
            progress(index + 1, total)
    found = Scan(tuple(good), tuple(bad), tuple(digests))
    _check_classes(source, found)
    return found


def require_clean(scan: Scan) -> None:
    """Does nothing if all images were good; raises `DataError` with the bad ones and their reasons otherwise."""
    if scan.bad:
        raise DataError(f"{len(scan.bad)} image(s) cannot be used:\n{_list_bad(scan.bad)}")


def _inspect_all(source: ImageSource) -> Iterator[tuple[str | None, str]]:
    """Result of `_inspect` for each image, in order."""
    total = len(source.records)
    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
        for start in range(0, total, _QUEUE):
            yield from pool.map(partial(_inspect, source), range(start, min(start + _QUEUE, total)))


def _inspect(source: ImageSource, index: int) -> tuple[str | None, str]:
    """Digest of an image, or None and the reason why it is bad."""
    try:
        source.pixels(index)
        return source.digest(index), ""
    except BadImageError as error:
        return None, str(error)


def _check_classes(source: ImageSource, found: Scan) -> None:
    present = {source.records[index].label for index in found.good}
    if missing := [name for label, name in enumerate(source.classes) if label not in present]:
        raise DataError(
            f"no image of the class(es) {', '.join(missing)} in {source.origin} can be decoded:\n{_list_bad(found.bad)}"
        )


def _list_bad(bad: tuple[tuple[str, str], ...], limit: int = 20) -> str:
    lines = [f"  {name}: {reason}" for name, reason in bad[:limit]]
    if len(bad) > limit:
        lines.append(f"  and {len(bad) - limit} more")
    return "\n".join(lines)
