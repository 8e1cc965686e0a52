"""Reports of a check of a data set, before anything is trained on it."""

from collections.abc import Iterable, Mapping

from modicum.imaging.files import count_suffixes
from modicum.reporting.report import Report, Row, Section, Table
from modicum.storage.files import JSON


def survey_report(
    wing: str, headline: str, name: str, rows: Iterable[tuple[str, str]], figures: Mapping[str, JSON]
) -> Report:
    """Reports what a check of a data set found.

    Args:
        wing: Id of the wing that it is for.
        headline: The usable part of the set, in a sentence.
        name: One line on the set.
        rows: Pairs of a property and what was found.
        figures: The same as plain data; "origin" is where the set is.
    """
    table = Table(("what", "found"), tuple(map(Row, rows)))
    return Report(wing, headline, str(figures["origin"]), (Section(name, (table,)),), figures)


def rows_of_parts(sizes: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns a row for each part: its number of images, as a training with the default options would split them."""
    return [(f"{part} images, by default", f"{count:,}") for part, count in sizes.items()]


def rows_of_unread(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns a row on the files that may be pictures but have no supported suffix; none if there are no such files."""
    return [("not read for their suffix", counts)] if (counts := count_suffixes(names)) else []
