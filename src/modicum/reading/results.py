"""What evaluating a reader yields, as plain values that serialise, print and are drawn by a report."""

# n words of a piece of a passage, m words of a question
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from modicum.reading.breakdowns import Breakdown
from modicum.reading.calibration import Reliability
from modicum.reading.metrics import Figures, Scores
from modicum.reading.normalisation import Rules
from modicum.storage.files import JSON


@dataclass(frozen=True)
class Method:
    """One line of the table: the network, or what it is to be held against.

    Attributes:
        name: What a reader calls it.
        figures: Means over the test questions.
        parameters: Trained numbers; None for what has none.
        questions_per_second: On the machine of the evaluation, beside whatever else that did.
        note: What a reader must know of it; empty for nothing.
    """

    name: str
    figures: Figures
    parameters: int | None = None
    questions_per_second: float | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Attended:
    """Where attention from a passage goes in its question.

    Attributes:
        passage: n words around the answer that was given.
        question: m words.
        weights: (n, m), float32; what each word of the passage puts on each word of the question, rows sum to 1.
    """

    passage: tuple[str, ...]
    question: tuple[str, ...]
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Example:
    """A test question with its answer.

    Attributes:
        question: What was asked.
        golds: Answers that count as right; empty where there is none.
        answer: What the network answered; empty for "no answer".
        probability: Of that answer, in [0, 1].
        f1: Of that answer, in [0, 1].
        sentence: The passage around the answer.
        attended: Where attention goes.
    """

    question: str
    golds: tuple[str, ...]
    answer: str
    probability: float
    f1: float
    sentence: str
    attended: Attended


@dataclass(frozen=True)
class Abstention:
    """How a reader does that may say "no answer" (SQuAD 2.0).

    Attributes:
        margin: By which an answer must beat "no answer" in log probability; chosen on the calibration part.
        has_answer: Over the test questions that have an answer; None where none has.
        no_answer: Over those that have none; None where all have.
        best_f1: F1 in percent that the best margin for the test questions would have had: an upper bound.
    """

    margin: float
    has_answer: Figures | None
    no_answer: Figures | None
    best_f1: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a report on a reader shows.

    Attributes:
        system: Id of the system.
        data: One line on the questions.
        version: Of the metric, "1.1" or "2.0".
        rules: By which most answers of the test were compared.
        num_questions: Of each part, by its name.
        methods: The network, then what it is held against.
        scores: Of the network.
        groups: The network's figures by kinds of questions.
        reliability: How far the network's probabilities can be trusted.
        abstention: None where every question has an answer.
        right: Questions that were answered well.
        wrong: Questions that were not.
    """

    system: str
    data: str
    version: str
    rules: Rules
    num_questions: Mapping[str, int]
    methods: tuple[Method, ...]
    scores: Scores
    groups: Breakdown
    reliability: Reliability
    abstention: Abstention | None
    right: tuple[Example, ...]
    wrong: tuple[Example, ...]

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data for JSON; of the examples only the words, not the attention."""
        return {
            "system": self.system,
            "data": self.data,
            "version": self.version,
            "rules": self.rules.name.lower(),
            "num_questions": dict(self.num_questions),
            "methods": [asdict(method) for method in self.methods],
            "groups": asdict(self.groups),
            "reliability": self.reliability.to_json(),
            "abstention": None if self.abstention is None else asdict(self.abstention),
            "right": [_words(example) for example in self.right],
            "wrong": [_words(example) for example in self.wrong],
        }


def _words(example: Example) -> dict[str, JSON]:
    names = ("question", "golds", "answer", "probability", "f1", "sentence")
    return {name: getattr(example, name) for name in names}
