"""What is in a set of questions, before anything is trained on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modicum.reading.data.alignment import AlignmentReport, report_alignment
from modicum.reading.data.corpus import Corpus
from modicum.reading.data.examples import training_examples
from modicum.reading.data.opening import open_source
from modicum.reading.data.problems import problem_lines
from modicum.reading.data.splits import divide
from modicum.reading.data.tokens import Tokenizer, tokenizer
from modicum.reading.data.vector_files import read_vectors
from modicum.reading.data.vectors import Coverage, measure_coverage
from modicum.reading.data.vocabulary import count_words
from modicum.reading.recipe import TextOptions


@dataclass(frozen=True)
class Lengths:
    """How many tokens texts have.

    Attributes:
        mean: The mean.
        p95: The length that 95 % do not exceed.
        longest: The greatest.
    """

    mean: float
    p95: int
    longest: int


@dataclass(frozen=True)
class Survey:
    """What a check of a set found.

    Attributes:
        name: One line on the set.
        origin: Where it is.
        passages: Passages that can be used.
        questions: Questions that can be used.
        impossible: Those of them that their passage does not answer.
        passage_lengths: Of the passages, each once for each of its questions, as training and test see them.
        question_lengths: Of the questions.
        problems: One line per kind of problem in the files.
        left_out: Questions of the training part that a training with the default options would leave out, by reason.
        alignment: How well tokens fit the answers; None if there are no answers.
        tokenizer: By whose tokens lengths and alignment are.
        coverage: How many of the passages' words are in the file of word vectors; None without a file.
        splits: Questions of each part, as a training with the default options would split them.
    """

    name: str
    origin: str
    passages: int
    questions: int
    impossible: int
    passage_lengths: Lengths
    question_lengths: Lengths
    problems: tuple[str, ...]
    left_out: dict[str, int]
    alignment: AlignmentReport | None
    tokenizer: str
    coverage: Coverage | None
    splits: dict[str, int]


def survey(
    source: str | Path | None,
    *,
    strict: bool = False,
    vectors: str | Path | None = None,
    options: TextOptions | None = None,
) -> Survey:
    """Reads and tokenises a set of questions once and says what it found.

    Args:
        source: As for training.
        strict: Refuse a set with faulty questions.
        vectors: A file of word vectors whose coverage is wanted.
        options: How text would become batches; None for the defaults.

    Raises:
        DataError: If the set or the vectors cannot be used, or ``strict`` and something is wrong.
    """
    options = options or TextOptions()
    opened = open_source(source, strict=strict)
    split = tokenizer(options.tokenizer)
    parts = divide(opened.given, calibration=options.calibration_share, test=options.test_share)
    everything = Corpus(
        tuple(passage for corpus in opened.given.values() for passage in corpus.passages), opened.given["train"].version
    )
    words = [[token.text for token in split(passage.text)] for passage in everything.passages]
    counts = count_words(words)
    asked = [len(text) for text, passage in zip(words, everything.passages, strict=True) for _ in passage.questions]
    return Survey(
        name=opened.name,
        origin=opened.origin,
        passages=len(everything.passages),
        questions=everything.num_questions,
        impossible=sum(each.question.impossible for each in everything.asked()),
        passage_lengths=_lengths(asked),
        question_lengths=_lengths([len(split(each.question.text)) for each in everything.asked()]),
        problems=tuple(problem_lines(opened.problems)),
        left_out=training_examples(parts.train, split, options).left_out,
        alignment=_alignment(everything, split),
        tokenizer=options.tokenizer,
        coverage=measure_coverage(read_vectors(vectors, counts), counts) if vectors else None,
        splits={name: corpus.num_questions for name, corpus in parts._asdict().items()},
    )


def _lengths(lengths: list[int]) -> Lengths:
    found = np.array(lengths)
    return Lengths(float(found.mean()), int(np.percentile(found, 95, method="higher")), int(found.max()))


def _alignment(corpus: Corpus, split: Tokenizer) -> AlignmentReport | None:
    has_answers = any(asked.question.answers for asked in corpus.asked())
    return report_alignment(corpus, split) if has_answers else None
