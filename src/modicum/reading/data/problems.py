"""What was wrong in a file of questions, and what was done about it: counted, with an example of each kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from modicum.storage.counting import counted
from modicum.storage.errors import first_few


class Wording(NamedTuple):
    """Returns the rest of a line, after its number."""

    one: str
    many: str


class ProblemKind(Enum):
    """What can be wrong with a passage, a question or an answer without making the file useless."""

    MALFORMED = Wording(
        "passage or question has fields that cannot be read and was left out",
        "passages or questions have fields that cannot be read and were left out",
    )
    EMPTY_PASSAGE = Wording(
        "passage without words was left out, with its questions",
        "passages without words were left out, with their questions",
    )
    EMPTY_QUESTION = Wording("question without words was left out", "questions without words were left out")
    DUPLICATE_ID = Wording(
        "question was left out because its id had been used before",
        "questions were left out because their id had been used before",
    )
    UNANSWERED = Wording("question without answers was left out", "questions without answers were left out")
    EMPTY_LIST = Wording(
        "question has an empty list of answers and counts as unanswerable, as in SQuAD 2.0",
        "questions have an empty list of answers and count as unanswerable, as in SQuAD 2.0",
    )
    LOST_ANSWER = Wording(
        "answer does not occur in its passage and was left out",
        "answers do not occur in their passage and were left out",
    )
    EMPTY_ANSWER = Wording("answer without words was left out", "answers without words were left out")
    WRONG_OFFSET = Wording(
        "answer stood elsewhere than its offset says; the nearest occurrence was taken",
        "answers stood elsewhere than their offset says; the nearest occurrence was taken",
    )
    NO_OFFSET = Wording(
        "answer has no offset and occurs several times; the first occurrence was taken",
        "answers have no offset and occur several times; the first occurrence was taken",
    )
    CONTRADICTION = Wording(
        "question is marked impossible and has answers; the answers were left out",
        "questions are marked impossible and have answers; the answers were left out",
    )
    CONTROL_CHARACTER = Wording(
        "text has control characters; they part words and are not read",
        "texts have control characters; they part words and are not read",
    )
    SURROGATE = Wording(
        "text had half surrogate pairs, which were replaced by U+FFFD",
        "texts had half surrogate pairs, which were replaced by U+FFFD",
    )
    LONG_WORD = Wording(
        "text has words of over 1,000 characters; readers see their beginnings",
        "texts have words of over 1,000 characters; readers see their beginnings",
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong.

    Attributes:
        kind: What.
        place: Where: the id of the question, or the path to the passage within the file, with what is wrong there if
            the kind does not say it.
    """

    kind: ProblemKind
    place: str


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Returns one line per kind of problem: how often it occurred, what was done, and examples of where."""
    places: dict[ProblemKind, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.kind, []).append(problem.place)
    return [
        f"{counted(len(places[kind]), *kind.value)}, e.g. {first_few(places[kind], 3)}"
        for kind in ProblemKind
        if kind in places
    ]
