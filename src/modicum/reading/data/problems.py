"""What was wrong in a file of questions, and what was done about it: counted, with an example of each kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from modicum.storage.errors import first_few


class ProblemKind(Enum):
    """What can be wrong with a passage, a question or an answer without making the file useless."""

    EMPTY_PASSAGE = "passages without words were left out, with their questions"
    EMPTY_QUESTION = "questions without words were left out"
    DUPLICATE_ID = "questions were left out because their id had been used before"
    UNANSWERED = "questions without answers were left out"
    LOST_ANSWER = "answers do not occur in their passage and were left out"
    EMPTY_ANSWER = "answers without words were left out"
    WRONG_OFFSET = "answers stood elsewhere than their offset says; the nearest occurrence was taken"
    CONTRADICTION = "questions are marked impossible and have answers; the answers were left out"
    CONTROL_CHARACTER = "texts have control characters; they part words and are not read"
    SURROGATE = "texts had half surrogate pairs, which were replaced by U+FFFD"
    LONG_WORD = "texts have words of over 1,000 characters; readers see their beginnings"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong.

    Attributes:
        kind: What.
        place: Where: the id of the question, or the path to the passage within the JSON.
    """

    kind: ProblemKind
    place: str


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """One line per kind that occurred: how often, what was done, and where for example."""
    places: dict[ProblemKind, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.kind, []).append(problem.place)
    return [
        f"{len(places[kind]):,} {kind.value}, e.g. {first_few(places[kind], 3)}"
        for kind in ProblemKind
        if kind in places
    ]
