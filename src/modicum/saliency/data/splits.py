"""Which images train, which calibrate, which test: disjoint, repeatable, and never a copy on two sides."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from modicum.saliency.data.scanning import Scan
from modicum.saliency.data.sources import PairSource
from modicum.storage.errors import DataError
from modicum.storage.sealing import read_sealed, write_sealed

Part = Literal["train", "calibration", "test"]
_IMPORTANCE: dict[str, int] = {"train": 0, "calibration": 1, "test": 2}


@dataclass(frozen=True)
class Splits:
    """Ids of the images in each part; the parts are disjoint.

    Attributes:
        train: What the network is fitted on.
        calibration: What its training is watched on.
        test: What figures are reported on.
        seed: The seed that they were drawn with.
    """

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        counts = Counter((*self.train, *self.calibration, *self.test))
        if repeated := [name for name, count in counts.items() if count > 1]:
            raise DataError(f"the splits overlap: {repeated[0]!r} stands in them more than once; draw new ones")

    def part(self, part: Part) -> tuple[str, ...]:
        """Ids of the part of that name."""
        return {"train": self.train, "calibration": self.calibration, "test": self.test}[part]

    def indices(self, source: PairSource, part: Part) -> list[int]:
        """Indices into ``source.records`` of the images of a part; raises `DataError` if some are gone."""
        self.check(source, (part,))
        index_of = {record.id: index for index, record in enumerate(source.records)}
        return [index_of[name] for name in self.part(part)]

    def check(self, source: PairSource, parts: Sequence[Part] = get_args(Part)) -> None:
        """Does nothing if the source still has the images of these parts; raises `DataError` otherwise."""
        present = {record.id for record in source.records}
        for part in parts:
            self._check_part(source, part, present)

    def _check_part(self, source: PairSource, part: Part, present: Collection[str]) -> None:
        if missing := [name for name in self.part(part) if name not in present]:
            raise DataError(
                f"{len(missing)} of {len(self.part(part))} {part} images are no longer in {source.origin}, "
                f"{missing[0]!r} among them: restore them or begin a new run"
            )

    def save(self, path: Path) -> None:
        """Writes JSON, atomically."""
        write_sealed(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Splits":
        """Reads what `save` wrote; raises `DataError` if the file is missing or damaged."""
        content = read_sealed(path, remedy="put a copy back, or begin a new run")
        try:
            train, calibration, test = (tuple(str(name) for name in content[part]) for part in get_args(Part))
            return cls(train, calibration, test, int(content["seed"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is a damaged file of splits: {error!r}; begin a new run") from error


def make_splits(
    source: PairSource, found: Scan, *, calibration: float = 0.1, test: float = 0.2, seed: int = 0
) -> Splits:
    """Splits of the usable images of a source.

    Parts that the set itself provides stay as they are; parts that it lacks are drawn from its train part (from all
    images, if it provides none). Copies, by content, never stand in two parts: where the set has them in several, only
    those of the most important part are used, test before calibration before train.

    Args:
        source: The images.
        found: Result of scanning it.
        calibration: Share of the divided images that goes to calibration, in (0, 1).
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed, source and scan give the same splits.

    Raises:
        DataError: If a part would be empty.
    """
    given: dict[str, str] = {}
    for index, digest in zip(found.good, found.digests, strict=True):
        part = source.records[index].split or "train"
        given[digest] = max(part, given.get(digest, part), key=_IMPORTANCE.__getitem__)
    part_of = given | _draw(given, {"test": test, "calibration": calibration}, seed)
    ids: dict[str, list[str]] = {part: [] for part in get_args(Part)}
    for index, digest in zip(found.good, found.digests, strict=True):
        if (source.records[index].split or "train") == given[digest]:
            ids[part_of[digest]].append(source.records[index].id)
    if empty := [part for part, names in ids.items() if not names]:
        raise DataError(
            f"{source.origin} has {len(found.good)} usable image(s), none left for {' and '.join(empty)}: add images"
        )
    return Splits(tuple(ids["train"]), tuple(ids["calibration"]), tuple(ids["test"]), seed)


def _draw(given: dict[str, str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """The parts of images that are drawn from the train part, by digest, for parts that the set lacks."""
    pool = [digest for digest, part in given.items() if part == "train"]
    random.Random(seed).shuffle(pool)
    drawn: dict[str, str] = {}
    whole = len(pool)
    for part, share in shares.items():
        if part not in given.values():
            count = max(1, round(share * whole))
            drawn.update(dict.fromkeys(pool[:count], part))
            pool = pool[count:]
    return drawn
