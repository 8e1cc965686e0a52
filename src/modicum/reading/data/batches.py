"""Batches for readers: over a table of their distinct words, of similar lengths, within a budget of tokens."""

# B examples, L passage words, M question words, V distinct words, W characters, p1 word dimensions
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.reading.data.examples import Example
from modicum.reading.data.vectors import WordVectors
from modicum.reading.data.vocabulary import FIRST, PADDING, UNKNOWN, Vocabulary
from modicum.reading.inputs import Inputs

IGNORED = -100  # the target of what is not known; `torch.nn.functional.cross_entropy` leaves it out


class Batch(NamedTuple):
    """A batch with what should come out."""

    inputs: Inputs
    start: Tensor  # (B,) int64: place in the logits of the answer's first word, of "no answer", or `IGNORED`
    end: Tensor  # (B,) int64: of its last word
    examples: tuple[Example, ...]

    def to(self, device: torch.device | str, **kwargs: Any) -> "Batch":  # noqa: ANN401  what `Tensor.to` takes
        """The same batch on ``device``."""
        start, end = self.start.to(device, **kwargs), self.end.to(device, **kwargs)
        return Batch(self.inputs.to(device), start, end, self.examples)


@final
@dataclass(frozen=True)
class Collator:
    """From examples to a batch.

    Attributes:
        vocabulary: Of the training.
        vectors: Word vectors, p1 dimensions.
        word_characters: W.
        has_no_answer: Whether "no answer" is the first logit, so that words come one later.
    """

    vocabulary: Vocabulary
    vectors: WordVectors
    word_characters: int = 16
    has_no_answer: bool = False

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """A batch of at least one example, in their order."""
        rows: dict[str, int] = {}
        passages = [example.words for example in examples]
        passage = _pad([[rows.setdefault(word, len(rows) + 1) for word in words] for words in passages])
        question = _pad([[rows.setdefault(word, len(rows) + 1) for word in example.question] for example in examples])
        words, vectors, characters = self._table(list(rows))
        match = np.zeros(passage.shape, np.float32)
        for place, example, text in zip(match, examples, passages, strict=True):
            place[: len(text)] = match_words(text, example.question)
        targets = torch.tensor([self._target(example) for example in examples])
        inputs = Inputs(words, vectors, characters, passage, question, torch.from_numpy(match))
        return Batch(inputs, targets[:, 0], targets[:, 1], tuple(examples))

    def _table(self, words: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Vocabulary rows (V,), vectors (V, p1) and characters (V, W); the first row is padding."""
        found = self.vectors.lookup(words)
        # A word that has a vector though the vocabulary lacks it only has to differ from an unknown one.
        rows = np.where(found.known, self.vocabulary.word_rows(words).clip(min=FIRST), UNKNOWN)
        characters = self.vocabulary.character_rows(words, self.word_characters)
        tables = (np.pad(table, [(1, 0)] + [(0, 0)] * (table.ndim - 1)) for table in (rows, found.vectors, characters))
        first, second, third = map(torch.from_numpy, tables)
        return first, second, third

    def _target(self, example: Example) -> tuple[int, int]:
        if example.impossible and self.has_no_answer:
            return 0, 0
        if example.span is None:
            return IGNORED, IGNORED
        return example.span.first + self.has_no_answer, example.span.last + self.has_no_answer


def match_words(passage: Sequence[str], question: Sequence[str]) -> NDArray[np.float32]:
    """1 for each word of the passage that the question has, too, shape ``(len(passage),)``.

    Case does not matter; punctuation and what is left of contractions ("'s") never match.
    """
    asked = {word.casefold() for word in question if word[0].isalnum()}
    return np.fromiter((word.casefold() in asked for word in passage), np.float32, len(passage))


def length_batches(
    order: Sequence[int], lengths: Sequence[int], *, max_tokens: int, max_examples: int
) -> list[list[int]]:
    """Cuts an order of examples into batches that stay within a budget of tokens, padding included.

    Args:
        order: Indices into ``lengths``; sorted by length they make the least padding.
        lengths: Passage tokens of each example.
        max_tokens: Most examples times longest passage in a batch; a longer single example is a batch of its own.
        max_examples: Most examples in a batch.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, lengths[index])
        is_full = not batches or len(batches[-1]) == max_examples or longest * (len(batches[-1]) + 1) > max_tokens
        if is_full:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    return batches


@final
class TokenBudgetSampler:
    """The batches of an epoch as indices, each of similar lengths, in random order: a function of seed and epoch.

    Examples are sorted by length times a little noise, so that an epoch's batches differ from the last one's. The k-th
    batches of all ranks have similar lengths. Batches that do not reach all ranks sit out the epoch.

    Args:
        lengths: Passage tokens of each example.
        max_tokens: Most passage tokens of a batch, padding included.
        max_examples: Most examples of a batch.
        weights: How likely each example is drawn, not normalised; as many are drawn as there are, with replacement.
            None takes each once.
        noise: Lengths vary by up to this share for the sorting; 0 for the least padding.
        seed: Of order and noise.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.

    Raises:
        ValueError: If there are fewer examples than ranks, or the weights do not fit.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        max_tokens: int,
        max_examples: int,
        weights: Sequence[float] | None = None,
        noise: float = 0.1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(lengths) < world_size:
            raise ValueError(f"{world_size} rank(s) need at least as many examples, got {len(lengths)}")
        if weights is not None and (len(weights) != len(lengths) or min(weights) < 0 or max(weights) <= 0):
            raise ValueError(f"weights must be {len(lengths)} numbers of at least 0, not all 0, got {len(weights)}")
        self._lengths = np.array(lengths, np.int64)
        # Smaller batches where there would not be one for each rank.
        self._limits = {"max_tokens": max_tokens, "max_examples": min(max_examples, len(lengths) // world_size)}
        self._weights = None if weights is None else np.array(weights) / sum(weights)
        self._noise, self._seed, self._rank, self._world_size = noise, seed, rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, from 0, whose batches come next."""
        rng = np.random.default_rng((self._seed, epoch))
        count = len(self._lengths)
        drawn = np.arange(count) if self._weights is None else rng.choice(count, count, p=self._weights)
        noisy = self._lengths[drawn] * rng.uniform(1 - self._noise, 1 + self._noise, count)
        order = drawn[np.lexsort((rng.random(count), noisy))]  # equal lengths in random order, also without noise
        batches = length_batches(order.tolist(), self._lengths.tolist(), **self._limits)
        groups = len(batches) // self._world_size
        self._batches = [batches[group * self._world_size + self._rank] for group in rng.permutation(groups)]

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the epoch for this rank."""
        return iter(self._batches)

    def __len__(self) -> int:
        """How many; it differs a little between epochs."""
        return len(self._batches)


def _pad(rows: list[list[int]]) -> Tensor:
    """Rows of a table (B, longest), padded at the end."""
    padded = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)
