"""One pass over a set before training: what can be decoded, what cannot and why, and whether sizes agree."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from modicum.imaging.decoding import BadImageError
from modicum.imaging.files import content_digest, left_out_line
from modicum.saliency.data.sources import HALF, PairSource
from modicum.storage.errors import DataError, first_few

_QUEUE = 256  # images handed to the threads at a time: an interrupt waits for no more than these
_MAX_NAMED = 10


@dataclass(frozen=True)
class Scan:
    """What a pass over a source found.

    Attributes:
        good: Indices of the images that can be used, ascending.
        bad: Id and reason of each that cannot.
        digests: Content hashes of the good images, in their order.
        unread: Files that may be pictures, but have no suffix that is read.
        contradictions: Ids of copies of one image with different masks, one group per image; left out of ``good``
            unless they were asked for.
        blank: Ids of good images whose mask is empty or full.
    """

    good: tuple[int, ...]
    bad: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]
    unread: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()
    blank: tuple[str, ...] = ()

    def notes(self, origin: str) -> list[str]:
        """One line on each thing that a user should know before training, beside ``bad``."""
        lines = [left_out_line(self.unread, origin)] if self.unread else []
        lines += [
            f"contradiction: {', '.join(group)} are one image with different masks" for group in self.contradictions
        ]
        if self.blank:
            lines.append(f"{len(self.blank)} mask(s) are empty or full: {first_few(self.blank, 3)}")
        return lines


@dataclass(frozen=True)
class _Finding:
    digest: str | None
    fault: str = ""
    mismatch: str = ""
    mask_digest: str = ""
    salient_share: float = 0.0
    brightest: int = 0


def scan(source: PairSource, *, strict: bool = False, keep_contradictions: bool = False) -> Scan:
    """Decodes every image and mask of a source once, in threads.

    Args:
        source: The images.
        strict: Refuse a set with unreadable or unread files or with contradictions, instead of going on without them.
        keep_contradictions: Also use copies of an image whose masks differ.

    Raises:
        DataError: If a mask has another size than its image, nothing can be decoded, every mask is empty or full, or
            ``strict`` and something is left out.
    """
    findings = list(_inspect_all(source))
    ids = [record.id for record in source.records]
    if mismatches := [f"{name}: {f.mismatch}" for name, f in zip(ids, findings, strict=True) if f.mismatch]:
        raise DataError(
            f"{len(mismatches)} mask(s) of {source.origin} differ in size from their image:\n{_lines(mismatches)}\n"
            "get an undamaged copy of the set, or resize these masks"
        )
    good = [index for index, finding in enumerate(findings) if finding.digest is not None]
    bad = tuple((name, f.fault) for name, f in zip(ids, findings, strict=True) if f.digest is None)
    if bad and (strict or not good):
        raise DataError(
            f"{len(bad)} image(s) of {source.origin} cannot be used:\n{_lines([f'{n}: {r}' for n, r in bad])}"
        )
    _check_masks(source, [findings[index] for index in good])
    contradictions: list[list[int]] = [] if keep_contradictions else _contradictions(findings)
    left_out = {index for group in contradictions for index in group}
    good = [index for index in good if index not in left_out]
    found = Scan(
        tuple(good),
        bad,
        tuple(findings[index].digest or "" for index in good),
        source.unread,
        tuple(tuple(ids[index] for index in group) for group in contradictions),
        tuple(ids[index] for index in good if findings[index].salient_share in (0, 1)),
    )
    if strict and (found.unread or found.contradictions):
        raise DataError(f"{source.origin} is not clean:\n{_lines(replace(found, blank=()).notes(source.origin))}")
    return found


def _check_masks(source: PairSource, good: list[_Finding]) -> None:
    """Refuses a set from which nothing can be learnt: no mask tells some pixels from others."""
    shares = [finding.salient_share for finding in good]
    if set(shares) <= {0, 1}:
        raise DataError(
            f"none of the {len(good)} masks of {source.origin} tells salient pixels from others: {shares.count(0)} are "
            f"empty, {shares.count(1)} full, and their brightest value is {max(f.brightest for f in good)} of 255; "
            "where something is salient, masks must be white, of the value 1, of a colour, or opaque"
        )


def _contradictions(findings: Sequence[_Finding]) -> list[list[int]]:
    """Groups of copies of one image whose masks differ."""
    copies: dict[str, list[int]] = {}
    for index, finding in enumerate(findings):
        if finding.digest is not None:
            copies.setdefault(finding.digest, []).append(index)
    return [group for group in copies.values() if len({findings[index].mask_digest for index in group}) > 1]


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
        share = float((mask >= HALF).mean())
        mask_digest = content_digest(repr(mask.shape).encode() + mask.tobytes())
        return _Finding(digest, mask_digest=mask_digest, salient_share=share, brightest=int(mask.max()))
    image, other = (f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, mask.shape))
    return _Finding(None, "sizes differ", f"the image has {image} pixels, the mask {other}")


def _lines(items: list[str]) -> str:
    shown = [f"  {item}" for item in items[:_MAX_NAMED]]
    if len(items) > _MAX_NAMED:
        shown.append(f"  and {len(items) - _MAX_NAMED} more")
    return "\n".join(shown)
