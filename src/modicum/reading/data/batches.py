"""Batches for readers: over a table of their distinct words, of similar lengths, within a budget of tokens."""

# B examples, L passage words, M question words, V distinct words, W characters, p1 word dimensions
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from modicum.reading.augmentation.mixing import draw_mixture
from modicum.reading.data.arrays import make_arrays
from modicum.reading.data.examples import Example
from modicum.reading.data.vectors import WordVectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.inputs import Inputs

IGNORED = -100  # the target of what is not known; `torch.nn.functional.cross_entropy` leaves it out


class Batch(NamedTuple):
    """A batch with what should come out."""

    inputs: Inputs
    start: Tensor  # (B,) int64: place in the logits of the answer's first word, of "no answer", or `IGNORED`
    end: Tensor  # (B,) int64: of its last word
    examples: tuple[Example, ...]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Returns the batch on ``device``."""
        start, end = (place.to(device, non_blocking=non_blocking) for place in (self.start, self.end))
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
        """Makes a batch of at least one example, in the order given."""
        arrays = make_arrays(examples, self.vocabulary, self.vectors, self.word_characters)
        targets = torch.tensor([self._target(example) for example in examples])
        return Batch(Inputs(*map(torch.from_numpy, arrays)), targets[:, 0], targets[:, 1], tuple(examples))

    def _target(self, example: Example) -> tuple[int, int]:
        if example.impossible and self.has_no_answer:
            return 0, 0
        if example.span is None:
            return IGNORED, IGNORED
        return example.span.first + self.has_no_answer, example.span.last + self.has_no_answer


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
        weights: How often each example is drawn, relative to the others; an epoch has as many draws as there are
            examples. None takes each once.
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
            raise ValueError(f"each rank needs an example, got {world_size} ranks, {len(lengths)} examples")
        if weights is not None and (len(weights) != len(lengths) or min(weights) < 0 or max(weights) <= 0):
            raise ValueError(f"weights must be {len(lengths)} numbers of at least 0, not all 0, got {len(weights)}")
        self._lengths = np.array(lengths, np.int64)
        # Smaller batches where there would not be one for each rank.
        self._limits = {"max_tokens": max_tokens, "max_examples": min(max_examples, len(lengths) // world_size)}
        self._weights = None if weights is None else (np.array(weights) / sum(weights)).tolist()
        self._noise, self._seed, self._rank, self._world_size = noise, seed, rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, from 0, whose batches come next."""
        rng = np.random.default_rng((self._seed, epoch))
        count = len(self._lengths)
        drawn = np.arange(count) if self._weights is None else np.array(draw_mixture(self._weights, count, rng))
        noisy = self._lengths[drawn] * rng.uniform(1 - self._noise, 1 + self._noise, count)
        order = drawn[np.lexsort((rng.random(count), noisy))]  # equal lengths in random order, also without noise
        batches = length_batches(order.tolist(), self._lengths.tolist(), **self._limits)
        groups = len(batches) // self._world_size
        self._batches = [batches[group * self._world_size + self._rank] for group in rng.permutation(groups)]

    def __iter__(self) -> Iterator[list[int]]:
        """Iterates over the batches of the epoch for this rank."""
        return iter(self._batches)

    def __len__(self) -> int:
        """Returns the number of batches; it differs a little between epochs."""
        return len(self._batches)
