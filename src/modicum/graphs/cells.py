"""Reads single cells of tables as nothing, a number, a date or a text, by the same rules for every kind of file."""

# N rows
import datetime
import math
import numbers
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array

_WORDS = "na n/a n.a. nan null none nil <na> nat #n/a #na #null! #value! #div/0! #ref! ? - -- . missing unknown"
USUAL_WORDS = frozenset(_WORDS.split())
"""Texts, in lower case, that often stand for a missing number. Among numbers they count as missing; among texts, they
are texts like any other, because NA may be a country."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = r"[+-]?\d{1,3}([,.'\u2019_ \u00a0\u202f])\d{3}(\1\d{3})*([.,]\d+)?"  # 1,050.5 and 1'050 and 1 050
_AMOUNT = r"[+-]?\d[\d.,'\u2019 \u00a0\u202f]*"
_CURRENCY = "$\u20ac\u00a3\u00a5"
_MARKED = re.compile(rf"{_GROUPED}|[+-]?[{_CURRENCY}]\s*{_AMOUNT}|{_AMOUNT}[%\u2030{_CURRENCY}]")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_PADDED = re.compile(r"[+-]?0\d")
_CLOCK = r"(?:[T ]+(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?))?"
_YEAR_FIRST = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})" + _CLOCK)
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})" + _CLOCK)
_UNCLEAR_DATE = re.compile(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}(\s.*)?|\d{1,2}\.\d{1,2}\.\d{2}(\s.*)?")
_EPOCH = datetime.datetime(1970, 1, 1)
_DAY_SECONDS = 86400.0


class Sort(IntEnum):
    """Names the kinds of content that a cell can have."""

    EMPTY = 0  # nothing, None, NaN, NA, NaT
    NUMBER = 1
    PADDED = 2  # digits behind a 0, such as 01: a number among numbers, else a code
    INFINITE = 3
    WORD = 4  # one of `USUAL_WORDS`
    DATE = 5  # with or without a time
    UNCLEAR_DATE = 6  # whether day or month comes first
    TEXT = 7  # truth values count as texts
    STRUCTURE = 8  # a list, or whatever else is no single value
    MARKED_NUMBER = 9  # with a mark that is not read: of thousands, per cent, or a currency


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a column, read.

    Attributes:
        raw: As they came, (N,).
        sorts: What each says, (N,), of `Sort`.
        values: Numbers; of dates the days since 1970-01-01 (UTC); NaN for everything else, (N,).
    """

    raw: NDArray[Any]
    sorts: NDArray[np.int64]
    values: Array

    def __len__(self) -> int:
        return len(self.raw)

    def take(self, rows: NDArray[np.int64]) -> "Cells":
        """Returns the cells of these rows."""
        return Cells(self.raw[rows], self.sorts[rows], self.values[rows])

    def count(self, *sorts: Sort) -> int:
        """Counts the cells of any of these sorts."""
        return int(self.are(*sorts).sum())

    def are(self, *sorts: Sort) -> NDArray[np.bool_]:
        """Tells which cells are of any of these sorts, (N,)."""
        return np.isin(self.sorts, sorts)

    def texts(self) -> NDArray[Any]:
        """Returns the cells as texts, (N,) of str; None for empty cells."""
        found = np.empty(len(self), dtype=object)
        found[:] = [
            None if sort == Sort.EMPTY else as_text(cell) for cell, sort in zip(self.raw, self.sorts, strict=True)
        ]
        return found


def read_cells(raw: NDArray[Any], *, decimal: str = ".", missing_words: tuple[str, ...] = ()) -> Cells:
    """Reads the cells of a column.

    Args:
        raw: (N,) objects: texts as in a file, or values of any type.
        decimal: Decimal mark of numbers among the texts.
        missing_words: Texts that count as empty.
    """
    known: dict[str, tuple[Sort, float]] = dict.fromkeys(missing_words, (Sort.EMPTY, math.nan))
    sorts, values = np.empty(len(raw), dtype=np.int64), np.empty(len(raw))
    for row, cell in enumerate(raw):
        if isinstance(cell, str):
            if cell not in known:
                known[cell] = _read_text(cell, decimal)
            sorts[row], values[row] = known[cell]
        else:
            sorts[row], values[row] = _read_value(cell)
    return Cells(raw, sorts, values)


def as_text(cell: object) -> str:
    """Returns a cell as the text that names its category; whole numbers have no decimal point."""
    if isinstance(cell, float) and cell.is_integer():  # a column of codes with an empty cell is kept as decimals
        return str(int(cell))
    return str(cell)


def _read_text(text: str, decimal: str) -> tuple[Sort, float]:
    if text == "":
        return Sort.EMPTY, math.nan
    bare = text.strip()
    number = bare if decimal == "." else bare.replace(".", "_").replace(decimal, ".")
    if _NUMBER.fullmatch(number):
        value = float(number)
        if math.isinf(value):
            return Sort.INFINITE, math.nan
        return (Sort.PADDED if _PADDED.match(number) else Sort.NUMBER), value
    if _INFINITE.fullmatch(bare):
        return Sort.INFINITE, math.nan
    if bare.lower() in USUAL_WORDS:
        return Sort.WORD, math.nan
    if _MARKED.fullmatch(bare):
        return Sort.MARKED_NUMBER, math.nan
    return _read_date(bare)


def _read_date(text: str) -> tuple[Sort, float]:
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day, clock = found.groups()
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year, clock = found.groups()
    else:
        return (Sort.UNCLEAR_DATE if _UNCLEAR_DATE.fullmatch(text) else Sort.TEXT), math.nan
    try:
        hour = (clock or "00:00").rjust(5, "0") if not clock or len(clock.split(":")[0]) == 2 else f"0{clock}"
        moment = datetime.datetime.fromisoformat(f"{year}-{month:>02}-{day:>02}T{hour}")
    except ValueError:  # such as the 30th of February
        return Sort.TEXT, math.nan
    return Sort.DATE, _days(moment)


def _days(moment: datetime.datetime) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - _EPOCH).total_seconds() / _DAY_SECONDS


def _read_value(cell: object) -> tuple[Sort, float]:
    """Reads a cell that is not text."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # pandas' own, which need no import to be told
        return Sort.EMPTY, math.nan
    if isinstance(cell, bool | np.bool_):
        return Sort.TEXT, math.nan
    if isinstance(cell, numbers.Real | Decimal):
        value = float(cell)
        if math.isnan(value):
            return Sort.EMPTY, math.nan
        return (Sort.INFINITE, math.nan) if math.isinf(value) else (Sort.NUMBER, value)
    return _read_time(cell)


def _read_time(cell: object) -> tuple[Sort, float]:
    if isinstance(cell, np.datetime64 | np.timedelta64):
        if np.isnat(cell):
            return Sort.EMPTY, math.nan
        unit = "datetime64[us]" if isinstance(cell, np.datetime64) else "timedelta64[us]"
        cell = cell.astype(unit).item()
    if isinstance(cell, datetime.datetime):
        return Sort.DATE, _days(cell)
    if isinstance(cell, datetime.date):
        return Sort.DATE, _days(datetime.datetime(cell.year, cell.month, cell.day))
    if isinstance(cell, datetime.timedelta):
        return Sort.NUMBER, cell.total_seconds() / _DAY_SECONDS
    return Sort.STRUCTURE, math.nan
