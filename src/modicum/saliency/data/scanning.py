"""One pass over a set before training: what can be decoded, what cannot and why, and whether sizes agree."""

from dataclasses import dataclass
from functools import partial

from modicum.datasets.contents import array_digest
from modicum.datasets.scan import Scan, inspect_all, require_clean, shorten
from modicum.prediction import Failure
from modicum.saliency.data.sources import HALF, PairSource
from modicum.storage.errors import DataError


@dataclass(frozen=True)
class _Finding:
    digest: str
    mask_digest: str
    salient_share: float
    brightest: int
    mismatch: str


def scan(source: PairSource, *, keep_contradictions: bool = False) -> tuple[Scan, tuple[str, ...]]:
    """Decodes every image and mask of a source once, in threads.

    Args:
        source: The images.
        keep_contradictions: Also use copies of an image whose masks differ.

    Returns:
        What was found, and the ids of good images whose mask is empty or full.

    Raises:
        DataError: If a mask has another size than its image, nothing can be decoded, or every mask is empty or full.
    """
    findings = inspect_all(source, partial(_inspect, source))
    of = {index: finding for index, finding in enumerate(findings) if isinstance(finding, _Finding)}
    ids = [record.id for record in source.records]
    if mismatches := [f"{ids[index]}: {finding.mismatch}" for index, finding in of.items() if finding.mismatch]:
        raise DataError(
            f"{len(mismatches)} mask(s) of {source.origin} differ in size from their image:\n{shorten(mismatches)}\n"
            "get an undamaged copy of the set, or resize these masks"
        )
    found = Scan.of(source, (each if isinstance(each, Failure) else each.digest for each in findings))
    if not found.good:
        require_clean(found, source.origin)
    _check_masks(source, list(of.values()))
    if not keep_contradictions:
        masks = [None if isinstance(each, Failure) else each.mask_digest for each in findings]
        found = found.without_contradictions(source, masks)
    return found, tuple(ids[index] for index in found.good if of[index].salient_share in (0, 1))


def _check_masks(source: PairSource, good: list[_Finding]) -> None:
    """Raises DataError for a set that cannot be learnt: no mask tells some pixels from others."""
    shares = [finding.salient_share for finding in good]
    if set(shares) <= {0, 1}:
        raise DataError(
            f"none of the {len(good)} masks of {source.origin} tells salient pixels from others: {shares.count(0)} are "
            f"empty, {shares.count(1)} full, and their brightest value is {max(f.brightest for f in good)} of 255; "
            "where something is salient, masks must be white, of the value 1, of a colour, or opaque"
        )


def _inspect(source: PairSource, index: int) -> _Finding:
    pixels, mask = source.pair(index)
    image, other = (f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, mask.shape))
    return _Finding(
        source.digest(index),
        array_digest(mask),
        salient_share=float((mask >= HALF).mean()),
        brightest=int(mask.max()),
        mismatch="" if image == other else f"the image has {image} pixels, the mask {other}",
    )
