"""One pass over a set before training: which samples can be used, which cannot and why, and which are copies."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from modicum.datasets.sources import Source
from modicum.imaging.files import left_out_line
from modicum.prediction import Failure
from modicum.storage.errors import DataError

log = logging.getLogger(__name__)

Found = TypeVar("Found")

_QUEUE = 512  # samples handed to the threads at a time: an interrupt waits for no more than these


@dataclass(frozen=True)
class Scan:
    """Holds the results of a pass over a source.

    Attributes:
        good: Indices of the samples that can be used, ascending.
        digests: Content hashes of the good samples, in their order.
        bad: The samples that cannot be used, with the reasons.
        unread: Files that may be pictures, but have no suffix that is read.
        contradictions: Ids of copies of one sample with different annotations, one group per sample.
    """

    good: tuple[int, ...]
    digests: tuple[str, ...]
    bad: tuple[Failure, ...] = ()
    unread: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, source: Source, digests: Iterable[str | Failure]) -> "Scan":
        """Returns the scan of a source from the content hash of each sample, or the reason why it cannot be used."""
        found = list(enumerate(digests))
        good = {index: digest for index, digest in found if isinstance(digest, str)}
        bad = tuple(failure for _, failure in found if isinstance(failure, Failure))
        return cls(tuple(good), tuple(good.values()), bad, source.unread)

    @property
    def copies(self) -> int:
        """Number of good samples that repeat another one."""
        return len(self.digests) - len(set(self.digests))

    def notes(self, origin: str) -> list[str]:
        """Describes what is left out beside ``bad``, one line each."""
        lines = [left_out_line(self.unread, origin)] if self.unread else []
        return lines + [
            f"contradiction: {', '.join(group)} are one image with different annotations"
            for group in self.contradictions
        ]

    def without_contradictions(self, source: Source, annotations: Sequence[object]) -> "Scan":
        """Leaves out copies of one sample whose annotations differ.

        Args:
            source: What was scanned.
            annotations: What is to be learnt of each sample of the source; compared by value.
        """
        copies: dict[str, list[int]] = {}
        for index, digest in zip(self.good, self.digests, strict=True):
            copies.setdefault(digest, []).append(index)
        groups = [group for group in copies.values() if len({annotations[index] for index in group}) > 1]
        kept = self.only(set(self.good).difference(*groups))
        return replace(kept, contradictions=tuple(tuple(source.records[i].id for i in group) for group in groups))

    def only(self, wanted: set[int]) -> "Scan":
        """Returns the scan without the good samples whose indices are not wanted."""
        kept = {index: digest for index, digest in zip(self.good, self.digests, strict=True) if index in wanted}
        return replace(self, good=tuple(kept), digests=tuple(kept.values()))


def inspect_all(
    source: Source, inspect: Callable[[int], Found], progress: Callable[[int, int], None] | None = None
) -> list[Found | Failure]:
    """Inspects every sample of a source once, in threads.

    Args:
        source: The samples.
        inspect: From the index of a sample to what is found; raises `DataError` if the sample cannot be used.
        progress: Called with the number of samples done and their total after each sample, in this thread.

    Returns:
        What was found of each sample, in order; of those that cannot be used, the reason.
    """
    found: list[Found | Failure] = []
    total = len(source.records)
    with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
        for start in range(0, total, _QUEUE):
            batch = range(start, min(start + _QUEUE, total))
            for finding in pool.map(partial(_inspect_one, source, inspect), batch):
                found.append(finding)
                if progress is not None:
                    progress(len(found), total)
    return found


def _inspect_one(source: Source, inspect: Callable[[int], Found], index: int) -> Found | Failure:
    try:
        return inspect(index)
    except DataError as error:
        return Failure(source.records[index].id, str(error))


def require_clean(found: Scan, origin: str) -> None:
    """Raises `DataError` with the failures and their reasons if anything was left out."""
    if found.bad:
        raise DataError(f"{len(found.bad)} image(s) of {origin} cannot be used:\n{list_failures(found.bad)}")
    if notes := found.notes(origin):
        raise DataError(f"{origin} is not clean:\n{shorten(notes)}")


def log_left_out(found: Scan, origin: str) -> None:
    """Logs everything that was left out, and why."""
    for failure in found.bad:
        log.warning("left out %s: %s", failure.name, failure.reason)
    for line in found.notes(origin):
        log.warning("%s", line)


def list_failures(failures: Iterable[Failure]) -> str:
    """Lists unusable samples with the reasons, one a line."""
    return shorten([f"{failure.name}: {failure.reason}" for failure in failures])


def shorten(items: Sequence[str], limit: int = 20) -> str:
    """Lists the first items, one a line, and how many more there are."""
    lines = [f"  {item}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  and {len(items) - limit} more")
    return "\n".join(lines)
