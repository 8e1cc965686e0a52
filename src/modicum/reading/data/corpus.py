"""Passages, the questions about them and the answers in them, as plain values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of a passage that answers a question.

    Attributes:
        text: The piece, not empty.
        start: Its first character, counted in Unicode code points of the passage from 0.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a passage.

    Attributes:
        id: Unique in its corpus.
        text: The question, not empty.
        answers: What annotators marked, all equally right; empty if the question is impossible, or unlabelled.
        impossible: Whether the passage does not answer it (SQuAD 2.0).
    """

    id: str
    text: str
    answers: tuple[Answer, ...]
    impossible: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an augmented passage comes from; ``"aug"`` in the JSON.

    Attributes:
        source: Id of the passage, or of the pivot language, that it was made from.
        method: How it was made.
        score: How well its answers could be found again, in [0, 1].
    """

    source: str
    method: str
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and the questions about it.

    Attributes:
        text: The paragraph, not empty.
        questions: In the order of the file; may be empty.
        title: The article that it stands in; a split never divides an article.
        origin: None for what people wrote.
    """

    text: str
    questions: tuple[Question, ...]
    title: str = ""
    origin: Origin | None = None


class Asked(NamedTuple):
    """A question with the passage that it is about."""

    passage: Passage
    question: Question


@dataclass(frozen=True, slots=True)
class Corpus:
    """A set of passages with questions.

    Attributes:
        passages: In the order of the file.
        version: ``"1.1"``, where every question has an answer, or ``"2.0"``; it also names the metric.
    """

    passages: tuple[Passage, ...]
    version: str

    def asked(self) -> Iterator[Asked]:
        """Yields all questions with their passages, in order."""
        return (Asked(passage, question) for passage in self.passages for question in passage.questions)

    @property
    def num_questions(self) -> int:
        """Questions of all passages together."""
        return sum(len(passage.questions) for passage in self.passages)
