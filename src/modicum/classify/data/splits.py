"""Which images train, which calibrate, which test: disjoint, stratified, repeatable, and never a copy on two sides."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from modicum.classify.data.scan import Scan
from modicum.classify.data.sources import ImageSource
from modicum.storage.errors import DataError, first_few
from modicum.storage.sealing import read_sealed, write_sealed

Part = Literal["train", "calibration", "test"]

_FORMAT = "modicum-splits"
_VERSION = 1


@dataclass(frozen=True)
class Splits:
    """Ids of the images in each part; the parts are disjoint.

    Attributes:
        train: What networks are fitted on.
        calibration: What knobs and thresholds are chosen on.
        test: What figures are reported on.
        seed: The seed that they were drawn with.
    """

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        everything = Counter((*self.train, *self.calibration, *self.test))
        if repeated := sorted(name for name, count in everything.items() if count > 1):
            raise DataError(f"the splits overlap: {first_few(repeated)} stand(s) in them more than once; draw new ones")

    def part(self, part: Part) -> tuple[str, ...]:
        """Ids of the part of that name."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}[part]

    def indices(self, source: ImageSource, part: Part) -> list[int]:
        """Indices into ``source.records`` of the images of a part; raises `DataError` if some are gone."""
        self.check(source)
        index_of = {record.id: index for index, record in enumerate(source.records)}
        return [index_of[name] for name in self.part(part)]

    def check(self, source: ImageSource) -> None:
        """Does nothing if the source still has every image of the splits; raises `DataError` otherwise."""
        present = {record.id for record in source.records}
        wanted = (*self.train, *self.calibration, *self.test)
        if missing := [name for name in wanted if name not in present]:
            raise DataError(
                f"{len(missing)} of {len(wanted)} images of the splits are no longer in {source.origin}: "
                f"{first_few(missing)}; restore them or draw new splits"
            )

    def save(self, path: str | Path) -> None:
        """Writes JSON; a crash leaves the old file or the new one, never half of it."""
        write_sealed(path, {"format": _FORMAT, "version": _VERSION, **asdict(self)})

    @classmethod
    def load(cls, path: str | Path) -> "Splits":
        """Reads what `save` wrote; raises `DataError` if the file is missing, damaged or of a newer version."""
        return _parse(read_sealed(path, remedy="put a copy back, or begin a new run"), path)


def make_splits(
    source: ImageSource, scan: Scan, *, calibration: float = 0.15, test: float = 0.15, seed: int = 0
) -> Splits:
    """Splits of the good images of a source, stratified by class.

    Parts that the set itself provides stay as they are; parts that it lacks are cut from its train part (from all
    images, if it provides none). Copies, by content, stay together: where parts are drawn they fall on the same side;
    where the set has copies in several of its parts, only those of the most important part are used, test before
    calibration before train. Copies inside one part all stay.

    Args:
        source: The images.
        scan: Result of scanning that source; bad images are in no part.
        calibration: Share of the images that are divided which goes to calibration, in (0, 1).
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed, source and scan give the same splits.

    Raises:
        ValueError: If a share is out of range.
        DataError: If a class is missing in a part, because it has too few distinct images; the message says how many
            are enough.
    """
    if min(calibration, test) <= 0 or calibration + test >= 1:
        raise ValueError(f"calibration and test must be positive and sum to less than 1, got {calibration} and {test}")
    label_of = {digest: source.records[index].label for index, digest in zip(scan.good, scan.digests, strict=True)}
    given = _given_parts(source, scan)
    shares = {
        part: share for part, share in (("test", test), ("calibration", calibration)) if part not in given.values()
    }
    pool = [digest for digest, part in given.items() if part == "train"]
    part_of = given | _cut(pool, label_of, shares, seed)
    _check_parts(source, label_of, part_of, shares)
    return _collect(source, scan, given, part_of, seed)


def _given_parts(source: ImageSource, scan: Scan) -> dict[str, str]:
    """The part of each distinct image (by digest) according to the set; train where it says nothing."""
    importance = {"train": 0, "calibration": 1, "test": 2}
    given: dict[str, str] = {}
    for index, digest in zip(scan.good, scan.digests, strict=True):
        part = source.records[index].split or "train"
        given[digest] = max(part, given.get(digest, part), key=importance.__getitem__)
    return given


def _cut(pool: list[str], label_of: dict[str, int], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Draws each share of the pool in turn (at most two); returns the new parts of the drawn images, by digest."""
    from sklearn.model_selection import train_test_split

    part_of: dict[str, str] = {}
    whole = len(pool)
    for part, share in shares.items():
        labels = [label_of[digest] for digest in pool]
        num_classes = len(set(labels))
        count = max(math.ceil(share * whole), num_classes)
        if count + num_classes > len(pool) or min(Counter(labels).values(), default=0) < 2:
            break  # scikit-learn would refuse to stratify; the check of the parts says which class is too small
        pool, drawn = train_test_split(pool, test_size=count, stratify=labels, random_state=seed)
        part_of.update(dict.fromkeys(drawn, part))
    return part_of


def _check_parts(
    source: ImageSource, label_of: dict[str, int], part_of: dict[str, str], shares: dict[str, float]
) -> None:
    present: dict[int, Counter[str]] = {label: Counter() for label in range(len(source.classes))}
    for digest, part in part_of.items():
        present[label_of[digest]][part] += 1
    # The smallest classes first, as they are the reason when no class could be divided.
    for label, counts in sorted(present.items(), key=lambda item: item[1].total()):
        if absent := [part for part in get_args(Part) if not counts[part]]:
            advice = f"{_enough(shares)} are enough" if shares else "the set itself must put some there"
            raise DataError(
                f"class {source.classes[label]!r} of {source.origin} has {counts.total()} distinct image(s), none of "
                f"them for {' or '.join(absent)}: {advice}; add images of it or leave the class out"
            )


def _enough(shares: dict[str, float]) -> int:
    """How many distinct images of a class are certain to reach every part.

    Stratified drawing gives a class its share of the drawn images rounded down or up, hence off by less than 2 for a
    draw of a rounded size; the second draw meets what the first one left.
    """
    largest, smallest, kept = max(shares.values()), min(shares.values()), 1 - sum(shares.values())
    return math.ceil(max(1 / smallest + 2 / (1 - largest), 5 / kept))


def _collect(source: ImageSource, scan: Scan, given: dict[str, str], part_of: dict[str, str], seed: int) -> Splits:
    ids: dict[str, list[str]] = {part: [] for part in get_args(Part)}
    for index, digest in zip(scan.good, scan.digests, strict=True):
        record = source.records[index]
        if (record.split or "train") == given[digest]:  # else a copy of it is in a more important part
            ids[part_of[digest]].append(record.id)
    return Splits(tuple(ids["train"]), tuple(ids["calibration"]), tuple(ids["test"]), seed)


def _parse(content: Mapping[str, Any], path: str | Path) -> Splits:
    if content.get("format") != _FORMAT:
        raise DataError(f"{path} is not a file of splits")
    if content.get("version") != _VERSION:
        raise DataError(
            f"{path} has version {content.get('version')} of the format, this modicum reads {_VERSION}: "
            "use the modicum that wrote it, or draw new splits"
        )
    try:
        train, calibration, test = (tuple(str(name) for name in content[part]) for part in get_args(Part))
        return Splits(train, calibration, test, int(content["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is a damaged file of splits: {error!r}; draw new ones") from error
