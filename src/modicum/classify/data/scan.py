"""One pass over all images before training: which can be decoded, which cannot and why, and which are copies."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from modicum.classify.data.sources import ImageSource
from modicum.imaging.decoding import BadImageError
from modicum.imaging.files import left_out_line
from modicum.storage.errors import DataError

_QUEUE = 512  # images handed to the threads at a time: an interrupt waits for no more than these


@dataclass(frozen=True)
class Scan:
    """What a pass over a source found.

    Attributes:
        good: Indices of the images that can be decoded, ascending.
        bad: Id and reason of each image that cannot.
        digests: Content hashes of the good images, in their order.
        unread: Files that may be pictures, but have no suffix that is read.
        contradictions: Ids of copies of one image in different classes, one group per image; left out of ``good``
            unless they were asked for.
    """

    good: tuple[int, ...]
    bad: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]
    unread: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()

    def notes(self, origin: str) -> list[str]:
        """One line on each thing beside ``bad`` that is left out."""
        lines = [left_out_line(self.unread, origin)] if self.unread else []
        return lines + [
            f"contradiction: {', '.join(group)} are one image in different classes" for group in self.contradictions
        ]


def scan(
    source: ImageSource, progress: Callable[[int, int], None] | None = None, *, keep_contradictions: bool = False
) -> Scan:
    """Decodes every image of a source once, in threads.

    Args:
        source: The images.
        progress: Called with the number of images done and their total after each image, in this thread.
        keep_contradictions: Also use copies of an image that stand in different classes.

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
    found = Scan(tuple(good), tuple(bad), tuple(digests), source.unread)
    _check_classes(source, found)
    return found if keep_contradictions else _without_contradictions(source, found)


def require_clean(scan: Scan) -> None:
    """Does nothing if nothing was left out; raises `DataError` with what was, and the reasons, otherwise."""
    if scan.bad:
        raise DataError(f"{len(scan.bad)} image(s) cannot be used:\n{_list_bad(scan.bad)}")
    if notes := scan.notes("the set"):
        raise DataError(f"the set is not clean:\n{_lines(notes)}")


def _without_contradictions(source: ImageSource, found: Scan) -> Scan:
    copies: dict[str, list[int]] = {}
    for index, digest in zip(found.good, found.digests, strict=True):
        copies.setdefault(digest, []).append(index)
    groups = [group for group in copies.values() if len({source.records[index].label for index in group}) > 1]
    left_out = {index for group in groups for index in group}
    kept = [(index, digest) for index, digest in zip(found.good, found.digests, strict=True) if index not in left_out]
    return replace(
        found,
        good=tuple(index for index, _ in kept),
        digests=tuple(digest for _, digest in kept),
        contradictions=tuple(tuple(source.records[index].id for index in group) for group in groups),
    )


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
    return _lines([f"{name}: {reason}" for name, reason in bad], limit)


def _lines(items: list[str], limit: int = 20) -> str:
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  and {len(items) - limit} more")
    return "\n".join(lines)
