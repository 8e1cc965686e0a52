"""From passages and questions to what a reader sees at once: a window of a passage, a question, perhaps the span."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from modicum.reading.data.alignment import Alignment, Span, align
from modicum.reading.data.corpus import Corpus, Origin, Passage, Question
from modicum.reading.data.tokens import Token, Tokenizer
from modicum.reading.data.windows import widest_view, windows
from modicum.reading.recipe import TextOptions
from modicum.storage.counting import counted


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A passage and its tokens, shared by all examples of it.

    Attributes:
        text: The passage.
        tokens: Its tokens, at least one.
        origin: None for what people wrote.
    """

    text: str
    tokens: tuple[Token, ...]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A question about a window of a passage.

    Attributes:
        id: Of the question; windows of one passage share it.
        passage: The whole passage.
        window: Its tokens that the reader sees.
        question: Words of the question, at least one.
        span: The answer's tokens, counted from the beginning of the window; None if there is none, or none is known.
        impossible: Whether the passage is known not to answer the question.
    """

    id: str
    passage: Tokenised
    window: range
    question: tuple[str, ...]
    span: Span | None = None
    impossible: bool = False

    @property
    def words(self) -> list[str]:
        """Words of the window."""
        return [token.text for token in self.passage.tokens[self.window.start : self.window.stop]]

    def characters(self, span: Span) -> tuple[int, int]:
        """Returns a span's first character, and one past its last, counted in the whole passage."""
        tokens, shift = self.passage.tokens, self.window.start
        return tokens[shift + span.first].start, tokens[shift + span.last].end

    def text(self, span: Span) -> str:
        """Returns the passage's text at a span, with its blanks and capitals."""
        start, end = self.characters(span)
        return self.passage.text[start:end]


class TrainingExamples(NamedTuple):
    """What a reader learns from, and how many questions were left out for which reason."""

    examples: tuple[Example, ...]
    left_out: dict[str, int]


def training_examples(corpus: Corpus, tokenizer: Tokenizer, options: TextOptions) -> TrainingExamples:
    """Makes one example for each question that can be learnt from.

    Of several answers, the one that most annotators gave is learnt, the first of equals. A passage that is too long is
    cut to the window that shows the most context around the answer; see `crop_at_random` for others.

    Args:
        corpus: Questions with answers, or impossible ones.
        tokenizer: Makes tokens of passages and questions.
        options: The limits.
    """
    left_out: Counter[str] = Counter()
    examples: list[Example] = []
    for passage in corpus.passages:
        tokenised = tokenise(passage, tokenizer)
        pieces = windows(len(tokenised.tokens), options.passage_tokens, options.stride)
        for question in passage.questions:
            words = question_words(question, tokenizer)
            if len(words) > options.question_tokens:
                left_out[f"question of over {counted(options.question_tokens, 'token')}"] += 1
            elif question.impossible:
                examples.append(Example(question.id, tokenised, pieces[0], words, impossible=True))
            elif isinstance(found := _learnable(question, tokenised, options), str):
                left_out[found] += 1
            elif (piece := widest_view(pieces, found)) is None:
                left_out["answer longer than a window"] += 1
            else:
                span = Span(found.first - piece.start, found.last - piece.start)
                examples.append(Example(question.id, tokenised, piece, words, span))
    return TrainingExamples(tuple(examples), dict(left_out))


def crop_at_random(example: Example, length: int, rng: np.random.Generator) -> Example:
    """Crops an example to ``length`` tokens of its passage at random around the answer; shorter ones stay whole.

    Args:
        example: A training example; its answer has at most ``length`` tokens.
        length: Tokens of the window.
        rng: Decides where it begins.
    """
    num_tokens = len(example.passage.tokens)
    if num_tokens <= length:
        return example
    first, last = 0, num_tokens - length
    if example.span is not None:
        begin, end = (example.window.start + place for place in example.span)
        first, last = max(first, end - length + 1), min(last, begin)
    start = int(rng.integers(first, last, endpoint=True))
    shift = example.window.start - start
    span = None if example.span is None else Span(example.span.first + shift, example.span.last + shift)
    return replace(example, window=range(start, start + length), span=span)


def reading_examples(corpus: Corpus, tokenizer: Tokenizer, options: TextOptions) -> Iterator[Example]:
    """Yields all windows of each question's passage, in order, without the answers; no question is left out.

    Questions are cut after ``options.question_tokens`` tokens.

    Args:
        corpus: The questions.
        tokenizer: As in the training.
        options: As in the training.

    Raises:
        ValueError: If a passage or a question has no words.
    """
    for passage in corpus.passages:
        if passage.questions:
            tokenised = tokenise(passage, tokenizer)
            pieces = windows(len(tokenised.tokens), options.passage_tokens, options.stride)
            for question in passage.questions:
                words = question_words(question, tokenizer)[: options.question_tokens]
                yield from (Example(question.id, tokenised, piece, words) for piece in pieces)


def tokenise(passage: Passage, tokenizer: Tokenizer) -> Tokenised:
    """Splits a passage into tokens; raises `ValueError` if there are none."""
    tokens = tuple(tokenizer(passage.text))
    if not tokens:
        raise ValueError(f"the passage {passage.text[:60]!r} has no words: give a text to read")
    return Tokenised(passage.text, tokens, passage.origin)


def question_words(question: Question, tokenizer: Tokenizer) -> tuple[str, ...]:
    """Splits a question into words; raises `ValueError` if there are none."""
    words = tuple(token.text for token in tokenizer(question.text))
    if not words:
        raise ValueError(f"question {question.id!r} has no words: ask something")
    return words


def _learnable(question: Question, passage: Tokenised, options: TextOptions) -> Span | str:
    """Returns the span to learn, or why there is none."""
    if not question.answers:
        return "question without an answer"
    if options.unique_answers and all(passage.text.count(answer.text) > 1 for answer in question.answers):
        return "answer that occurs several times"
    votes: Counter[Span] = Counter()
    for answer in question.answers:
        found: Alignment | None = align(passage.text, passage.tokens, answer)
        if found is not None and found.is_same:
            votes[found.span] += 1
    if not votes:
        return "answer that begins or ends inside a word"
    span = votes.most_common(1)[0][0]
    too_long = span.last - span.first >= options.answer_tokens
    return f"answer of over {counted(options.answer_tokens, 'token')}" if too_long else span
