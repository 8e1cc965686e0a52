"""From logits to answers: pieces of the passage with probabilities, over all windows of a long passage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch

from modicum.reading.data.alignment import Span
from modicum.reading.data.batches import Batch, Collator, length_batches
from modicum.reading.data.corpus import Corpus
from modicum.reading.data.examples import Example, reading_examples
from modicum.reading.data.tokens import tokenizer
from modicum.reading.inputs import Inputs, Logits
from modicum.reading.recipe import TextOptions
from modicum.reading.spans import Spans, best_spans, n_best_spans, no_answer_scores


@dataclass(frozen=True)
class Candidate:
    """A piece of a passage that may be the answer.

    Attributes:
        text: The piece.
        start: Its first character, in Unicode code points of the whole passage.
        end: One past its last character.
        probability: In [0, 1].
    """

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Found:
    """What a network found for a question.

    Attributes:
        candidates: The best first, at least one.
        no_answer: Probability that the passage does not answer it; None for a network that always answers.
        margin: Log probability of the best candidate minus that of "no answer"; infinite where it always answers.
    """

    candidates: tuple[Candidate, ...]
    no_answer: float | None
    margin: float

    def text(self, margin: float) -> str:
        """Returns the best candidate if it beats "no answer" by more than ``margin``, else an empty answer."""
        return self.candidates[0].text if self.margin > margin else ""


class Piece(NamedTuple):
    """A piece of a passage: first character, one past the last, and a score that compares between windows."""

    start: int
    end: int
    score: float  # sum of two logits


@dataclass(frozen=True)
class Seen:
    """What a network saw in one window of a passage.

    Attributes:
        pieces: The best first, at least one.
        normaliser: Taken off a score of this window, it leaves the log probability within the window.
        no_answer: Score of "no answer"; None for a network that always answers.
    """

    pieces: tuple[Piece, ...]
    normaliser: float
    no_answer: float | None


def look(
    batch: Batch, logits: Logits, *, answer_tokens: int, n_best: int = 1, has_no_answer: bool = False
) -> list[Seen]:
    """Extracts the best pieces of each window from the logits of a batch.

    Args:
        batch: The windows.
        logits: The network's logits for them.
        answer_tokens: Longest answer.
        n_best: How many pieces to keep per window; a window of few words has fewer.
        has_no_answer: Whether the first logit stands for "no answer".
    """
    if n_best == 1:  # in time that does not grow with the longest answer
        found = best_spans(logits, answer_tokens, has_no_answer=has_no_answer)
        spans = Spans(*(values.unsqueeze(1) for values in found))
    else:
        spans = n_best_spans(logits, n_best, answer_tokens, has_no_answer=has_no_answer)
    starts, ends, scores, log_probabilities = (values.tolist() for values in spans)
    none = no_answer_scores(logits).tolist() if has_no_answer else [None] * len(batch.examples)
    return [
        Seen(
            tuple(
                Piece(*example.characters(Span(first, last)), score)
                for first, last, score in zip(starts[place], ends[place], scores[place], strict=True)
                if first >= 0
            ),
            scores[place][0] - log_probabilities[place][0],
            none[place],
        )
        for place, example in enumerate(batch.examples)
    ]


def merge(passage: str, windows: Sequence[Seen], *, n_best: int = 1) -> Found:
    """Merges what a network found in the windows of a passage.

    Windows are compared by score, because each is normalised on its own; probabilities are normalised over all windows.
    A passage does not answer a question if no window does, so the lowest score of "no answer" counts.

    Args:
        passage: The text.
        windows: What was found in its windows; at least one.
        n_best: How many candidates to keep, of different pieces.
    """
    best: dict[tuple[int, int], float] = {}
    for piece in (piece for window in windows for piece in window.pieces):
        place = (piece.start, piece.end)
        best[place] = max(piece.score, best.get(place, -math.inf))
    normaliser = _log_sum([window.normaliser for window in windows])
    kept = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:n_best]
    candidates = tuple(
        Candidate(passage[start:end], start, end, _probability(score - normaliser)) for (start, end), score in kept
    )
    scores = [window.no_answer for window in windows if window.no_answer is not None]
    if not scores:
        return Found(candidates, None, math.inf)
    return Found(candidates, _probability(min(scores) - normaliser), kept[0][1] - min(scores))


@dataclass(frozen=True)
class Reader:
    """A network that answers in batches of similar lengths.

    Attributes:
        logits: The network on the inputs of a batch, on whatever device it is.
        collator: From examples to a batch.
        answer_tokens: Longest answer.
        n_best: Candidates for each question.
        batch_tokens: Most passage tokens of a batch, padding included.
        batch_size: Most windows of a batch.
    """

    logits: Callable[[Inputs], Logits]
    collator: Collator
    answer_tokens: int
    n_best: int = 1
    batch_tokens: int = 12_800
    batch_size: int = 64

    def find(self, asked: Sequence[Sequence[Example]]) -> list[Found]:
        """Finds the answer to each question, given all windows of its passage (at least one)."""
        examples = [example for windows in asked for example in windows]
        lengths = [len(example.window) for example in examples]
        # Of equal length, those of one passage stand together: a network may read it once.
        order = sorted(range(len(examples)), key=lambda place: (lengths[place], id(examples[place].passage)))
        seen: dict[int, Seen] = {}
        for places in length_batches(order, lengths, max_tokens=self.batch_tokens, max_examples=self.batch_size):
            seen.update(zip(places, self._look([examples[place] for place in places]), strict=True))
        counts = iter(range(len(examples)))
        return [
            merge(windows[0].passage.text, [seen[next(counts)] for _ in windows], n_best=self.n_best)
            for windows in asked
        ]

    @torch.inference_mode()
    def _look(self, examples: Sequence[Example]) -> list[Seen]:
        batch = self.collator(examples)
        logits = self.logits(batch.inputs)
        return look(
            batch,
            Logits(logits.start.cpu(), logits.end.cpu()),
            answer_tokens=self.answer_tokens,
            n_best=self.n_best,
            has_no_answer=self.collator.has_no_answer,
        )


def answer_corpus(reader: Reader, corpus: Corpus, text: TextOptions) -> dict[str, Found]:
    """Returns what a reader finds for each question of a corpus, by question id."""
    examples = reading_examples(corpus, tokenizer(text.tokenizer), text)
    windows = {name: list(group) for name, group in groupby(examples, key=lambda example: example.id)}
    return dict(zip(windows, reader.find(list(windows.values())), strict=True))


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


def _probability(log_probability: float) -> float:
    return min(math.exp(log_probability), 1.0)  # rounding may leave a little more than 1
