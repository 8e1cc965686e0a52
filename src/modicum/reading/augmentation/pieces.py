"""A passage as sentences that carry their answers along, however they are changed, moved and joined again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from modicum.reading.data.corpus import Answer, Passage, Question
from modicum.reading.sentences import Sentence, split_sentences


class Mark(NamedTuple):
    """An answer in a piece."""

    question: int  # place of the question in its passage
    answer: Answer  # counts from the start of the piece
    score: float = 1.0  # how well it was found again


@dataclass(frozen=True)
class Piece:
    """A sentence, or several that share an answer.

    Attributes:
        text: Without blanks around.
        marks: The answers in it.
        gap: What separates it from the piece before.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    gap: str = " "


def split_passage(passage: Passage) -> list[Piece]:
    """Splits a passage into pieces so that no answer spans two; `join_pieces` undoes it, except for outer blanks."""
    marks = [Mark(place, a) for place, question in enumerate(passage.questions) for a in question.answers]
    bounds = _bounds(split_sentences(passage.text), [mark.answer for mark in marks])
    pieces: list[Piece] = []
    before = 0
    for start, end in bounds:
        inside = tuple(
            mark._replace(answer=replace(mark.answer, start=mark.answer.start - start))
            for mark in marks
            if start <= mark.answer.start and mark.answer.end <= end
        )
        gap = passage.text[before:start] if pieces else " "  # the first may come to stand behind another
        pieces.append(Piece(passage.text[start:end], inside, gap))
        before = end
    return pieces


def join_pieces(pieces: Iterable[Piece], questions: Sequence[Question]) -> tuple[str, list[list[Mark]]]:
    """Joins pieces into a text, with each question's answers in it.

    Args:
        pieces: In any order; the first one's gap is left out.
        questions: The questions of the passage that the pieces were split from.

    Returns:
        The text, and marks whose answers count from its start, grouped by question.
    """
    text = ""
    found: list[list[Mark]] = [[] for _ in questions]
    for piece in pieces:
        text += piece.gap if text else ""
        for mark in piece.marks:
            answer = replace(mark.answer, start=mark.answer.start + len(text))
            found[mark.question].append(mark._replace(answer=answer))
        text += piece.text
    return text, found


def _bounds(sentences: Sequence[Sentence], answers: Sequence[Answer]) -> list[tuple[int, int]]:
    """Returns start and end of each piece; neighbouring sentences that an answer spans are merged."""
    bounds: list[tuple[int, int]] = []
    for sentence in sentences:
        start = bounds[-1][0] if bounds and _is_crossed(bounds[-1][1], sentence.start, answers) else None
        if start is None:
            bounds.append((sentence.start, sentence.end))
        else:
            bounds[-1] = (start, sentence.end)
    return bounds


def _is_crossed(end: int, start: int, answers: Sequence[Answer]) -> bool:
    return any(answer.start < start and answer.end > end for answer in answers)
