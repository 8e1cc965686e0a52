"""Finds an answer again in a paraphrase of its sentence, by the pairs of letters that their words share.

Yu et al., 2018 (section 3) compare each word of the paraphrase with the first and the last word of the answer by
character bigrams and keep the span most like the answer. The exact score is not published; this one adds small
penalties for moving and for other neighbours, which tell equal words apart, and rejects what is too unlike, such as
synonyms.
"""

# s words of the paraphrase, a words of the answer
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from modicum.reading.data.corpus import Answer
from modicum.reading.data.tokens import Token, Tokenizer, tokenize

MIN_SCORE = 0.5  # below, an answer counts as lost
EXTRA_WORDS = 4  # that a span may have more than the answer
SHIFT_PENALTY = 0.02  # for moving from one end of the sentence to the other
NEIGHBOUR_PENALTY = 0.02  # for each of the two words beside the span, if it is nothing like the one beside the answer


class Realigned(NamedTuple):
    """An answer found again."""

    answer: Answer  # in the paraphrase
    score: float  # at most 1, for the same words at the same place


def realign(
    answer: Answer,
    sentence: str,
    paraphrase: str,
    *,
    min_score: float = MIN_SCORE,
    tokenizer: Tokenizer = tokenize,
) -> Realigned | None:
    """Finds the span of a paraphrase that is most like an answer in the original sentence.

    The score of the words i to j is ``0.25 (sim(i, first) + sim(j, last)) + 0.5 sim(i..j, answer) - 0.02 shift``, where
    ``sim`` is `similarity` and ``shift`` how far the span's first word moved, as a share of the sentence. The words
    before and behind the span each cost up to 0.02, depending on how much they differ from the answer's neighbours: of
    equal spans in a sentence whose clauses moved, the right one has the same neighbours as the answer. A span that is
    not the answer itself but stands in the original outside the answer is not considered: where the answer became a
    synonym, the most similar words left are often such neighbours.

    Args:
        answer: Its place counts from the start of the sentence.
        sentence: The original.
        paraphrase: What replaces it.
        min_score: Below it, the answer counts as lost; in [0, 1].
        tokenizer: What splits both into words.

    Returns:
        The best span of at most four words more than the answer; ``None`` if it scores below ``min_score``, or there
        are no words.

    Raises:
        ValueError: If the answer does not stand in the sentence where it says.
    """
    if not answer.text or sentence[answer.start : answer.end] != answer.text:
        raise ValueError(
            f"answer {answer.text!r} must stand at character {answer.start} of its sentence {sentence!r}, "
            f"but there is {sentence[answer.start : answer.end]!r}"
        )
    words, wanted = tokenizer(paraphrase), tokenizer(answer.text)
    if not words or not wanted:
        return None
    found = _best_span(words, wanted, _target(answer, tokenizer(sentence), paraphrase))
    if found is None or found.score < min_score:
        return None
    start, end = words[found.first].start, words[found.last].end
    return Realigned(Answer(paraphrase[start:end], start), found.score)


def similarity(first: str, second: str) -> float:
    """Returns the Dice coefficient of the character bigrams of ``^first$`` and ``^second$``, ignoring case.

    Example:
        >>> similarity("Normans", "normans"), round(similarity("Norman", "Normans"), 2), similarity("one", "two")
        (1.0, 0.8, 0.0)
    """
    return _dice(_bigrams(first), _bigrams(second))


class _Target(NamedTuple):
    paraphrase: str
    answer: str  # in small letters
    elsewhere: str  # the words around the answer in the original, in small letters, with a blank before and after each
    place: float  # of the answer's first word, as a share of the sentence
    before: str  # the word before the answer; empty at the beginning of the sentence
    after: str  # the word behind it; empty at the end


class _Span(NamedTuple):
    first: int  # word
    last: int  # included
    score: float


def _target(answer: Answer, originals: Sequence[Token], paraphrase: str) -> _Target:
    before = [token.text for token in originals if token.end <= answer.start]
    after = [token.text for token in originals if token.start >= answer.end]
    # The bar keeps the words before and after from meeting.
    elsewhere = " ".join(["", *before, "|", *after, ""]).lower()
    place = len(before) / len(originals)
    return _Target(paraphrase, answer.text.lower(), elsewhere, place, ["", *before][-1], [*after, ""][0])


def _best_span(words: Sequence[Token], wanted: Sequence[Token], target: _Target) -> _Span | None:
    """Returns the best span, the earliest of equals; ``None`` if all stand elsewhere in the original."""
    texts, whole = [word.text for word in words], _bigrams(target.answer)
    starts = _edges(texts, ["", *texts[:-1]], wanted[0].text, target.before)
    ends = _edges(texts, [*texts[1:], ""], wanted[-1].text, target.after)
    best: _Span | None = None
    for i in range(len(words)):  # s (a + 4) spans, most of which the bound below spares the costly comparison
        shift = SHIFT_PENALTY * abs(i / len(words) - target.place)
        for j in range(i, min(i + len(wanted) + EXTRA_WORDS, len(words))):
            score = starts[i] + ends[j] - shift
            if best is not None and score + 0.5 <= best.score:
                continue
            score += 0.5 * _dice(_bigrams(target.paraphrase[words[i].start : words[j].end]), whole)
            if (best is None or score > best.score) and not _stands_elsewhere(words[i : j + 1], target):
                best = _Span(i, j, score)
    return best


def _edges(words: Sequence[str], beside: Sequence[str], wanted: str, wanted_beside: str) -> list[float]:
    """Scores each word as an end of the span, given the word ``beside`` it outside the span."""
    own, neighbour = _bigrams(wanted), _bigrams(wanted_beside)
    return [
        0.25 * _dice(_bigrams(word), own) - NEIGHBOUR_PENALTY * (1 - _dice(_bigrams(other), neighbour))
        for word, other in zip(words, beside, strict=True)
    ]


def _stands_elsewhere(span: Sequence[Token], target: _Target) -> bool:
    text = target.paraphrase[span[0].start : span[-1].end].lower()
    return text != target.answer and f" {' '.join(word.text for word in span).lower()} " in target.elsewhere


def _bigrams(text: str) -> Counter[str]:
    framed = f"^{text.lower()}$"
    return Counter(map("".join, pairwise(framed)))


def _dice(first: Counter[str], second: Counter[str]) -> float:
    return 2 * (first & second).total() / (first.total() + second.total())
