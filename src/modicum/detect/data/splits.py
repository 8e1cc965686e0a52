"""Splits of pictures with boxes: frames of one sequence resemble each other, so that sequences are kept together."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np

from modicum.datasets import splits
from modicum.datasets.scan import Scan
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import PartOf, Splits
from modicum.detect.data.groups import LEAST_GROUPS
from modicum.detect.data.sources import DetectionSource
from modicum.storage.errors import DataError

SplitBy = Literal["sequence", "time", "picture"]
Draw = Callable[[PartOf, Mapping[Part, float], int], PartOf]


def make_splits(
    source: DetectionSource,
    found: Scan,
    *,
    calibration: float = 0.25,
    test: float = 0.25,
    seed: int = 0,
    by: SplitBy | None = None,
) -> Splits:
    """Draws splits of the good pictures of a source; see `modicum.datasets.splits.make_splits`.

    Args:
        source: The pictures.
        found: Result of scanning that source.
        calibration: Share of the pictures that are divided which goes to calibration, in (0, 1).
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed, source and scan give the same splits; "time" draws nothing.
        by: "sequence" keeps frames of a sequence in one part, so that the test shows other scenes; "time" cuts every
            sequence into an earlier part for training and later ones for calibration and test, an easier split, because
            all parts show the same scenes; "picture" draws single pictures. None is "sequence" where names tell of
            three sequences or more, else "picture".

    Raises:
        ValueError: If a share is out of range.
        DataError: If a part is empty, or sequences are asked for and names tell of none, or of too few.
    """
    group_of, order = _groups_and_order(source, found)
    if by is None:
        by = "sequence" if LEAST_GROUPS <= len(set(group_of.values())) < len(group_of) else "picture"
    if by != "picture" and len(set(group_of.values())) == len(group_of) > 1:
        raise DataError(
            f"{source.origin}: names of pictures tell of no sequences: call frames <sequence>-<number>, or split them "
            "by picture"
        )
    draws: dict[SplitBy, Draw] = {
        "sequence": partial(_draw_sequences, group_of),
        "time": partial(_draw_in_time, group_of, order),
        "picture": splits.draw_parts,
    }
    return splits.make_splits(source, found, calibration=calibration, test=test, seed=seed, draw=draws[by])


def _groups_and_order(source: DetectionSource, found: Scan) -> tuple[dict[str, str], dict[str, list[str | int]]]:
    """Returns, by digest, the sequence of each distinct picture, and its name in words and numbers, to sort by.

    A picture without a sequence is one of its own. Sequences that share a copy of a picture become one.
    """
    joined: dict[str, str] = {}

    def root(group: str) -> str:
        while joined.get(group, group) != group:
            group = joined[group]
        return group

    group_of: dict[str, str] = {}
    order: dict[str, list[str | int]] = {}
    for index, digest in zip(found.good, found.digests, strict=True):
        record = source.records[index]
        group = root(f"{record.id}\0" if record.group is None else record.group)
        if digest in group_of:
            joined[group] = root(group_of[digest])
        group_of.setdefault(digest, group)
        order.setdefault(digest, [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", record.id)])
    return {digest: root(group) for digest, group in group_of.items()}, order


def _draw_sequences(
    group_of: Mapping[str, str], given: PartOf, shares: Mapping[Part, float], seed: int
) -> dict[str, Part]:
    """Draws whole sequences for each share, at least one, as near to it as sizes allow; one stays for training."""
    part_of = dict(given)
    pools = _by_group(group_of, given)
    names = sorted(pools)
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    whole = sum(map(len, pools.values()))
    for place, (part, share) in enumerate(shares.items()):
        spare = len(shares) - place  # sequences that the parts to come and training need
        wanted, taken = share * whole, 0
        for name in list(order):
            if len(order) <= spare and taken:
                break
            if not taken or abs(taken + len(pools[name]) - wanted) < abs(taken - wanted):
                order.remove(name)
                taken += len(pools[name])
                part_of.update(dict.fromkeys(pools[name], part))
    return part_of


def _draw_in_time(
    group_of: Mapping[str, str],
    order: Mapping[str, list[str | int]],
    given: PartOf,
    shares: Mapping[Part, float],
    _seed: int,
) -> dict[str, Part]:
    """Gives the end of each sequence to the test, what comes before to calibration, and the beginning to training."""
    part_of = dict(given)
    for pool in _by_group(group_of, given).values():
        frames = sorted(pool, key=lambda digest: order[digest])
        end = len(frames)
        for part in sorted(shares, key=PARTS.index, reverse=True):
            start = end - round(shares[part] * len(frames))
            part_of.update(dict.fromkeys(frames[start:end], part))
            end = start
    return part_of


def _by_group(group_of: Mapping[str, str], given: PartOf) -> dict[str, Sequence[str]]:
    """Returns the distinct pictures of the given training part by their sequence."""
    pools: dict[str, list[str]] = {}
    for digest, part in given.items():
        if part == "train":
            pools.setdefault(group_of[digest], []).append(digest)
    return dict(pools)
