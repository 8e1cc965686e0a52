"""From the characters of an answer to the tokens that cover it, and what that loses.

A reader can only give back whole tokens. Some answers begin or end inside one ("Israel" in "Israelis"); the smallest
span of tokens that covers the answer is taken, and the answer teaches only if that span means the same to the metric.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from modicum.reading.data.corpus import Answer, Corpus
from modicum.reading.data.tokens import Token, Tokenizer
from modicum.reading.metrics import exact_match, f1_v1
from modicum.reading.normalisation import rules_of


class Span(NamedTuple):
    """Tokens ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the tokens say that an answer is.

    Attributes:
        span: The smallest span of tokens that covers the answer.
        text: The piece of the passage that the span covers.
        is_exact: Whether that is the answer, character for character, blanks around it aside.
        is_same: Whether that is the answer to the metric, which ignores case, articles and punctuation.
    """

    span: Span
    text: str
    is_exact: bool
    is_same: bool


@dataclass(frozen=True)
class AlignmentReport:
    """How well a tokenizer fits the answers of a corpus.

    Attributes:
        answers: All answers.
        exact: Those that begin and end where tokens do.
        same: Those that are covered by tokens which are the same to the metric; at least as many as ``exact``.
        oracle_em: Exact match, in %, of always giving the best covering span; no reader of these tokens can do better.
        oracle_f1: Its F1, in %.
        examples: Answers that are not the same, each with the text that covers it; the first few.
    """

    answers: int
    exact: int
    same: int
    oracle_em: float
    oracle_f1: float
    examples: tuple[tuple[str, str], ...]


def align(passage: str, tokens: Sequence[Token], answer: Answer) -> Alignment | None:
    """Returns the smallest span of tokens that covers an answer.

    Args:
        passage: The text.
        tokens: Its tokens, in order.
        answer: A piece of the passage.

    Returns:
        None if no token touches the answer.
    """
    # Half-open intervals: a mark of punctuation right behind the answer is not touched by it.
    first = bisect_right(tokens, answer.start, key=lambda token: token.end)
    last = bisect_left(tokens, answer.end, key=lambda token: token.start) - 1
    if first > last:
        return None
    text = passage[tokens[first].start : tokens[last].end]
    is_exact = text == answer.text.strip()
    is_same = is_exact or exact_match(text, answer.text, rules_of(passage))
    return Alignment(Span(first, last), text, is_exact, is_same)


def report_alignment(corpus: Corpus, tokenizer: Tokenizer, *, num_examples: int = 10) -> AlignmentReport:
    """Aligns all answers of a corpus and says what is lost.

    Args:
        corpus: At least one of its questions has an answer.
        tokenizer: The tokens to align to.
        num_examples: How many answers that are lost to show.

    Raises:
        ValueError: If there is no answer.
    """
    answers: list[tuple[Answer, Alignment | None]] = []
    em, f1 = [], []
    for passage in corpus.passages:
        tokens, rules = tokenizer(passage.text), rules_of(passage.text)
        for question in passage.questions:
            found = [(answer, align(passage.text, tokens, answer)) for answer in question.answers]
            answers += found
            if found:
                em.append(_oracle(found, partial(exact_match, rules=rules)))
                f1.append(_oracle(found, partial(f1_v1, rules=rules)))
    if not answers:
        raise ValueError("the corpus has no answers to align")
    lost = [(answer.text, found.text if found else "") for answer, found in answers if not (found and found.is_same)]
    return AlignmentReport(
        answers=len(answers),
        exact=sum(found is not None and found.is_exact for _, found in answers),
        same=len(answers) - len(lost),
        oracle_em=100 * sum(em) / len(em),
        oracle_f1=100 * sum(f1) / len(f1),
        examples=tuple(lost[:num_examples]),
    )


def _oracle(found: list[tuple[Answer, Alignment | None]], measure: Callable[[str, str], float]) -> float:
    """Returns the best score that a covering span reaches on a question, over all of its answers."""
    covers = [alignment.text for _, alignment in found if alignment is not None]
    return max((measure(cover, answer.text) for cover in covers for answer, _ in found), default=0.0)
