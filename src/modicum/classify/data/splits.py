"""Splits of labelled images: stratified, with every class in every part."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from modicum.classify.data.sources import ImageSource
from modicum.datasets import splits
from modicum.datasets.scan import Scan
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import PartOf, Splits, given_parts, ids_of_parts
from modicum.storage.errors import DataError


def make_splits(
    source: ImageSource, found: Scan, *, calibration: float = 0.15, test: float = 0.15, seed: int = 0
) -> Splits:
    """Draws splits of the good images of a source, stratified by class; see `modicum.datasets.splits.make_splits`.

    Args:
        source: The images.
        found: Result of scanning that source.
        calibration: Share of the images that are divided which goes to calibration, in (0, 1).
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed, source and scan give the same splits.

    Raises:
        ValueError: If a share is out of range.
        DataError: If a class is missing in a part, because it has too few distinct images; the message says how many
            are enough.
    """
    label_of = _labels_by_digest(source, found)
    draw = partial(_draw_stratified, source, label_of)
    return splits.make_splits(source, found, calibration=calibration, test=test, seed=seed, draw=draw)


def split_off_test(source: ImageSource, found: Scan, *, test: float = 0.15, seed: int = 0) -> Splits:
    """Divides a set without a training part: the test part is its own or else drawn, all else is for calibration.

    The test part is drawn as `make_splits` draws it with the same share and seed.

    Args:
        source: The images, none of which the set puts into a training part.
        found: Result of scanning that source.
        test: Share of the images that goes to the test where the set has no test part, in (0, 1).
        seed: The same seed, source and scan give the same parts.

    Returns:
        The parts; the training part is empty.

    Raises:
        DataError: If nothing is left for calibration, or a class is missing in a part.
    """
    label_of, given = _labels_by_digest(source, found), given_parts(source, found, "calibration")
    part_of, has_test = dict(given), "test" in given.values()
    if given and "calibration" not in given.values():
        raise DataError(
            f"{source.origin} has a test part alone, so nothing is left for calibration: add a val part, or name the "
            "folder of the test part as the data, which is then divided"
        )
    if not has_test:
        _, drawn = _draw_share(list(given), label_of, test * len(given), seed)
        part_of.update(dict.fromkeys(drawn, "test"))
    _check_parts(source, label_of, part_of, {} if has_test else {"test": test}, ("calibration", "test"))
    ids = ids_of_parts(source, found, "calibration", given, part_of)
    return Splits((), tuple(ids["calibration"]), tuple(ids["test"]), seed)


def _labels_by_digest(source: ImageSource, found: Scan) -> dict[str, int]:
    return {digest: source.records[index].label for index, digest in zip(found.good, found.digests, strict=True)}


def _draw_stratified(
    source: ImageSource, label_of: Mapping[str, int], given: PartOf, shares: Mapping[Part, float], seed: int
) -> PartOf:
    """Draws each share of the training part in turn (at most two)."""
    part_of = dict(given)
    pool = [digest for digest, part in given.items() if part == "train"]
    whole = len(pool)
    for part, share in shares.items():
        pool, drawn = _draw_share(pool, label_of, share * whole, seed)
        if not drawn:
            break  # the check of the parts says which class is too small
        part_of.update(dict.fromkeys(drawn, part))
    _check_parts(source, label_of, part_of, shares)
    return part_of


def _draw_share(pool: list[str], label_of: Mapping[str, int], wanted: float, seed: int) -> tuple[list[str], list[str]]:
    """Divides a pool by class: those that stay, and at least ``wanted`` drawn ones; none if a class is too small."""
    from sklearn.model_selection import train_test_split

    labels = [label_of[digest] for digest in pool]
    num_classes = len(set(labels))
    count = max(math.ceil(wanted), num_classes)
    if count + num_classes > len(pool) or min(Counter(labels).values(), default=0) < 2:
        return pool, []  # scikit-learn would refuse to stratify
    rest, drawn = train_test_split(pool, test_size=count, stratify=labels, random_state=seed)
    return rest, drawn


def _check_parts(
    source: ImageSource,
    label_of: Mapping[str, int],
    part_of: PartOf,
    shares: Mapping[Part, float],
    parts: Sequence[Part] = PARTS,
) -> None:
    present: dict[int, Counter[str]] = {label: Counter() for label in range(len(source.classes))}
    for digest, part in part_of.items():
        present[label_of[digest]][part] += 1
    # The smallest classes first, as they are the reason when no class could be divided.
    for label, counts in sorted(present.items(), key=lambda item: item[1].total()):
        if absent := [part for part in parts if not counts[part]]:
            advice = f"{_enough(shares)} are enough" if shares else "the set itself must put some there"
            raise DataError(
                f"class {source.classes[label]!r} of {source.origin} has {counts.total()} distinct image(s), none of "
                f"them for {' or '.join(absent)}: {advice}; add images of it or leave the class out"
            )


def _enough(shares: Mapping[Part, float]) -> int:
    """Returns how many distinct images of a class guarantee that every part gets one.

    Stratified drawing gives a class its share of the drawn images rounded down or up, hence off by less than 2 for a
    draw of a rounded size; the second draw is from what the first one left.
    """
    largest, smallest, kept = max(shares.values()), min(shares.values()), 1 - sum(shares.values())
    return math.ceil(max(1 / smallest + 2 / (1 - largest), 5 / kept))
