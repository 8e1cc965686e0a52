"""Which samples train, which calibrate, which test: disjoint, repeatable, and never a copy on two sides."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from modicum.datasets.contents import check_content, keep_content
from modicum.datasets.scan import Scan
from modicum.datasets.sources import PARTS, Part, Source
from modicum.storage.errors import DataError, first_few
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed

T = TypeVar("T")

_FORMAT = "modicum-splits"
_VERSION = 1
_REMEDY = "put a copy back, or begin a new run"
IMPORTANCE: Mapping[Part, int] = {"train": 0, "calibration": 1, "test": 2}


@dataclass(frozen=True)
class Splits:
    """Ids of the samples in each part; the parts are disjoint.

    Attributes:
        train: What networks are fitted on.
        calibration: What training is watched, and knobs and thresholds are chosen, on.
        test: What figures are reported on.
        seed: The seed that they were drawn with; None where nothing tells.
    """

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        everything = Counter((*self.train, *self.calibration, *self.test))
        if repeated := sorted(name for name, count in everything.items() if count > 1):
            raise DataError(f"the splits overlap: {first_few(repeated)} stand(s) in them more than once; draw new ones")

    def part(self, part: Part) -> tuple[str, ...]:
        """Returns the ids of the part of that name."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}[part]

    def ids(self, parts: Collection[Part] = PARTS) -> dict[Part, tuple[str, ...]]:
        """Returns the ids of some parts by their names."""
        return {part: self.part(part) for part in parts}

    def sizes(self) -> dict[str, int]:
        """Returns the number of samples of each part."""
        return {part: len(self.part(part)) for part in PARTS}

    def indices(self, source: Source, part: Part) -> list[int]:
        """Returns indices into ``source.records`` of the samples of a part; raises `DataError` if some are gone."""
        index_of = {record.id: index for index, record in enumerate(source.records)}
        self.check(index_of, source.origin, (part,))
        return [index_of[name] for name in self.part(part)]

    def check(self, present: Collection[str], origin: str, parts: Collection[Part] = PARTS) -> None:
        """Raises `DataError` unless the ids of these parts are among those present."""
        wanted = [name for part in parts for name in self.part(part)]
        if missing := [name for name in wanted if name not in present]:
            raise DataError(
                f"{len(missing)} of {len(wanted)} samples of the splits are no longer in {origin}: "
                f"{first_few(missing)}; restore them, or begin a new run"
            )

    def save(self, path: str | Path) -> None:
        """Writes JSON; a crash leaves the old file or the new one, never half of it."""
        write_sealed(path, {"format": _FORMAT, "version": _VERSION, **asdict(self)})

    @classmethod
    def load(cls, path: str | Path) -> "Splits":
        """Reads what `save` wrote; raises `DataError` if the file is missing, damaged or of a newer version."""
        return _parse(read_sealed(path, remedy=_REMEDY), path)


def _parse(content: Mapping[str, Any], path: str | Path) -> Splits:
    """Parses splits, also old ones without format or seed."""
    if content.get("format", _FORMAT) != _FORMAT:
        raise DataError(f"{path} is not a file of splits")
    if (version := content.get("version", _VERSION)) != _VERSION:
        raise DataError(
            f"{path} has version {version} of the format, this modicum reads {_VERSION}: "
            "use the modicum that wrote it, or begin a new run"
        )
    try:
        seed = content.get("seed")
        train, calibration, test = (tuple(str(name) for name in content[part]) for part in PARTS)
        return Splits(train, calibration, test, None if seed is None else int(seed))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is a damaged file of splits: {error!r}; begin a new run") from error


def splits_of_run(
    run: RunFolder,
    source: Source,
    draw: Callable[[], Splits],
    digest: Callable[[str], str],
    parts: Collection[Part] = PARTS,
) -> Splits:
    """Returns the splits of a run: stored ones, or else new ones, which it then stores.

    Args:
        run: Where the splits are kept, with digests of the samples.
        source: The samples.
        draw: Makes new splits.
        digest: From an id to a digest of its sample and its annotation.
        parts: What will be looked at: these samples must still be what the run was begun with.

    Raises:
        DataError: If samples of these parts are gone or have changed.
    """
    if run.splits.exists():
        splits = Splits.load(run.splits)
        splits.check({record.id for record in source.records}, source.origin, parts)
        check_content(run, splits.ids(parts), digest, source.origin)
        return splits
    splits = draw()
    if run.path.is_dir():  # other processes than the first may be here before it has made the folder
        keep_content(run, splits.ids(), digest)
        splits.save(run.splits)
    return splits


def draw_shares(pool: Sequence[T], shares: Mapping[Part, float], seed: int) -> dict[Part, list[T]]:
    """Draws each share of a pool in turn, at least one sample of it; the rest is for training.

    Args:
        pool: What is divided; the same pool and seed give the same parts.
        shares: Of each part to draw, in (0, 1).
        seed: Of the order in which they are drawn.
    """
    order = [pool[place] for place in np.random.default_rng(seed).permutation(len(pool))]
    drawn: dict[Part, list[T]] = {}
    for part, share in shares.items():
        count = max(1, round(share * len(pool)))
        drawn[part], order = order[:count], order[count:]
    return {**drawn, "train": order}


PartOf: TypeAlias = Mapping[str, Part]
"""The part of each distinct sample, by the digest of its content."""


def draw_parts(given: PartOf, shares: Mapping[Part, float], seed: int) -> PartOf:
    """Returns the parts, drawing those with a share from the given training part."""
    pool = [digest for digest, part in given.items() if part == "train"]
    drawn = draw_shares(pool, shares, seed)
    return {**given, **{digest: part for part, digests in drawn.items() for digest in digests}}


def make_splits(
    source: Source,
    found: Scan,
    *,
    calibration: float,
    test: float,
    seed: int = 0,
    draw: Callable[[PartOf, Mapping[Part, float], int], PartOf] = draw_parts,
) -> Splits:
    """Draws splits of the usable samples of a source.

    Parts that the set itself provides stay as they are; parts that it lacks are drawn from its train part (from all
    samples, if it provides none). Copies, by content, stay together: where parts are drawn they fall on the same side;
    where the set has copies in several of its parts, only those of the most important part are used, test before
    calibration before train. Copies inside one part all stay.

    Args:
        source: The samples.
        found: Result of scanning it; bad samples are in no part.
        calibration: Share of the samples that are divided which goes to calibration, in (0, 1).
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed, source and scan give the same splits.
        draw: Draws the parts that the set lacks, from the given parts, the shares and the seed.

    Raises:
        ValueError: If a share is out of range.
        DataError: If a part would be empty.
    """
    if min(calibration, test) <= 0 or calibration + test >= 1:
        raise ValueError(f"calibration and test must be positive and sum to less than 1, got {calibration} and {test}")
    given = given_parts(source, found, "train")
    shares: dict[Part, float] = {"test": test, "calibration": calibration}
    part_of = draw(given, {part: share for part, share in shares.items() if part not in given.values()}, seed)
    ids = ids_of_parts(source, found, "train", given, part_of)
    if empty := [part for part, names in ids.items() if not names]:
        raise DataError(
            f"{source.origin} has {len(found.good)} usable image(s), none of them for {' or '.join(empty)}: training "
            "needs at least three different ones, for train, calibration and test"
        )
    return Splits(tuple(ids["train"]), tuple(ids["calibration"]), tuple(ids["test"]), seed)


def given_parts(source: Source, found: Scan, otherwise: Part) -> dict[str, Part]:
    """Returns the part of each distinct sample as the set says, ``otherwise`` where it does not; of copies the highest.

    Args:
        source: The samples.
        found: Result of scanning it.
        otherwise: Part of samples that the set puts into none.
    """
    given: dict[str, Part] = {}
    for index, digest in zip(found.good, found.digests, strict=True):
        part: Part = source.records[index].split or otherwise
        given[digest] = max(part, given.get(digest, part), key=IMPORTANCE.__getitem__)
    return given


def ids_of_parts(source: Source, found: Scan, otherwise: Part, given: PartOf, part_of: PartOf) -> dict[Part, list[str]]:
    """Returns the ids of each part, without samples of which a copy is given to a more important one.

    Args:
        source: As of `given_parts`.
        found: As of `given_parts`.
        otherwise: As of `given_parts`.
        given: What `given_parts` found.
        part_of: The part that each distinct sample gets.
    """
    ids: dict[Part, list[str]] = {part: [] for part in PARTS}
    for index, digest in zip(found.good, found.digests, strict=True):
        if (source.records[index].split or otherwise) == given[digest]:
            ids[part_of[digest]].append(source.records[index].id)
    return ids
