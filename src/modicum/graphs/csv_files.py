"""CSV files as rows of texts, with the marks that they are written with, and back in the same form."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modicum.storage.errors import DataError, first_few
from modicum.storage.files import read_at_most

SEPARATORS = (",", ";", "\t", "|")
SNIFFED_ROWS = 200
MOST_BYTES = 2**30  # of a file, uncompressed; its cells take several times as much memory
_GZIP_MAGIC = b"\x1f\x8b"
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_WHOLE_NUMBER = re.compile(r"[+-]?\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's first line
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class CsvForm:
    """Describes how a CSV file is written.

    Attributes:
        separator: Between cells.
        decimal: Decimal mark of its numbers.
        encoding: Python's name for it; "utf-8-sig" begins with a byte order mark.
        line_end: What ends a line.
        has_hint: Whether a first line names the separator, as in "sep=;".
        is_zipped: Whether gzip was used.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    line_end: str = "\n"
    has_hint: bool = False
    is_zipped: bool = False


@dataclass(frozen=True, eq=False)
class CsvRows:
    """The rows of a CSV file.

    Attributes:
        form: How it is written.
        names: Of the columns, without surrounding blanks, all different.
        rows: Cells as they stand, one per column.
        lines: Number of the line in the file where each row begins, from 1.
    """

    form: CsvForm
    names: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_csv(
    path: Path, *, separator: str | None = None, decimal: str | None = None, encoding: str | None = None
) -> CsvRows:
    """Reads a CSV file, also one compressed with gzip; the first line that is not blank names the columns.

    Args:
        path: The file.
        separator: Between cells; None tells it by what makes rows of equal length.
        decimal: Decimal mark; None tells it by the numbers in the file.
        encoding: Python's name for it; None is UTF-8, or what a byte order mark says.

    Raises:
        DataError: If the file is unreadable, of another encoding, or has a row with more or fewer cells than columns.
    """
    text, encoding, is_zipped = _read_text(path, encoding)
    hint = _HINT.match(text)
    body = text[hint.end() :] if hint else text
    separator = separator or (hint[1] if hint else _guess_separator(body))
    if not body.strip():
        raise DataError(f"{path} is empty: the first line should name the columns")
    sample = [row for _, row in islice(_records(body, separator, path), 1, SNIFFED_ROWS)]
    line_end = "\r\n" if "\r\n" in text else "\n"
    form = CsvForm(
        separator, decimal or _guess_decimal(sample, separator), encoding, line_end, hint is not None, is_zipped
    )
    return _checked(path, form, [(line + (1 if hint else 0), row) for line, row in _records(body, separator, path)])


def csv_content(form: CsvForm, names: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Returns a CSV file in a form."""
    stream = io.StringIO()
    if form.has_hint:
        stream.write(f"sep={form.separator}{form.line_end}")
    writer = csv.writer(stream, delimiter=form.separator, lineterminator=form.line_end)
    writer.writerow(names)
    writer.writerows(rows)
    content = stream.getvalue().encode(form.encoding, "backslashreplace")
    return gzip.compress(content, mtime=0) if form.is_zipped else content


def number_text(value: float, form: CsvForm) -> str:
    """Formats a number with all its digits and the decimal mark of a file."""
    return repr(value).replace(".", form.decimal)


def _read_text(path: Path, encoding: str | None) -> tuple[str, str, bool]:
    try:
        with path.open("rb") as file:
            is_zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            content = read_at_most(gzip.GzipFile(fileobj=file) if is_zipped else file, MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} cannot be read as a table: it has more than {MOST_BYTES:,} bytes; give a part of it")
    told = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    chosen = encoding or told
    try:
        return content.decode(chosen), chosen, is_zipped
    except LookupError as error:
        raise DataError(f"table.encoding names no encoding: {chosen!r}; use utf-8, cp1252 or the like") from error
    except UnicodeError as error:
        raise DataError(
            f"{path} cannot be read as a table: it is not in {chosen}; name its encoding, e.g. --encoding cp1252 "
            "(in a training --table.encoding)"
        ) from error


def _records(text: str, separator: str, path: Path | str) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows that are not blank, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: line {line}: {error}") from error


def _guess_separator(text: str) -> str:
    """Returns the separator that gives the most rows as long as the header, then the most numbers, then columns."""
    scores = {mark: _score(text, mark) for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: scores[mark])  # the first of equals


def _score(text: str, separator: str) -> tuple[float, float, int]:
    try:
        header, *rows = (row for _, row in islice(_records(text, separator, ""), SNIFFED_ROWS))
    except (DataError, ValueError):  # a quoted cell ends elsewhere than at this mark, or there is no header
        return 0.0, 0.0, 0
    if len(header) < 2:
        return 0.0, 0.0, 0
    if not rows:
        return 1.0, 0.0, len(header)
    cells = [cell for row in rows for cell in row]
    alike = sum(_length(row, len(header)) == len(header) for row in rows)
    told = sum(bool(_any_number(cell.strip())) for cell in cells)
    return alike / len(rows), told / len(cells), len(header)


def _any_number(cell: str) -> bool:
    return any(form.fullmatch(cell) for form in (_WHOLE_NUMBER, _POINT_NUMBER, _COMMA_NUMBER))


def _length(row: Sequence[str], expected: int) -> int:
    """Counts the cells of a row, except for empty ones beyond the expected number."""
    return expected if len(row) > expected and not any(cell.strip() for cell in row[expected:]) else len(row)


def _guess_decimal(rows: Sequence[Sequence[str]], separator: str) -> str:
    cells = [cell.strip() for row in rows for cell in row]
    points = sum(bool(_POINT_NUMBER.fullmatch(cell)) for cell in cells)
    commas = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    if separator == ",":  # quoted, and 12,345 is then rather twelve thousand
        commas = [cell for cell in commas if not _THOUSANDS.fullmatch(cell)]
    if not points and not commas:
        return "," if separator == ";" else "."
    return "," if len(commas) > points else "."


def _checked(path: Path, form: CsvForm, records: Sequence[tuple[int, list[str]]]) -> CsvRows:
    """Returns names and rows of equal length; empty cells beyond the last name are dropped."""
    header, *body = records
    names = [name.strip() for name in header[1]]
    while names and not names[-1] and not any(cell.strip() for _, row in body for cell in row[len(names) - 1 :]):
        names.pop()
    names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]  # as pandas calls them
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns of the name {first_few(twice)}: rename them")
    for line, row in body:
        if _length(row, len(names)) != len(names):
            raise DataError(
                f"{path}: line {line} has {len(row)} cells, but the header names {len(names)} columns: mend that "
                "line, or name the separator as --separator (in a training --table.separator)"
            )
    return CsvRows(form, names, [row[: len(names)] for _, row in body], [line for line, _ in body])
