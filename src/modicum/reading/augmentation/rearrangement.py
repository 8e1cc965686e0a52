"""Changes to a passage that leave the sentences with answers whole: shuffling, dropping, sentences from elsewhere."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from modicum.reading.augmentation.pieces import Piece


@dataclass(frozen=True)
class Rearrangement:
    """How much a passage is rearranged.

    Attributes:
        shuffled: Probability that its sentences are put in another order; in [0, 1].
        dropped: Probability that a sentence without an answer goes; in [0, 1].
        inserted: Probability, before each sentence, that one of another passage is put in; in [0, 1].
    """

    shuffled: float = 0.0
    dropped: float = 0.0
    inserted: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shuffled", "dropped", "inserted"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {value}")

    def apply(self, pieces: Sequence[Piece], strangers: Sequence[str], rng: random.Random) -> list[Piece]:
        """Rearranges the pieces; those with answers all stay, unchanged, and at least one piece stays.

        Args:
            pieces: The pieces of one passage, in order.
            strangers: Sentences of other passages, among which distractors are chosen; may be empty.
            rng: The random generator.
        """
        kept = [piece for piece in pieces if piece.marks or rng.random() >= self.dropped] or list(pieces[:1])
        if rng.random() < self.shuffled:
            rng.shuffle(kept)
        result: list[Piece] = []
        for piece in kept:
            if strangers and rng.random() < self.inserted:
                result.append(Piece(rng.choice(strangers)))
            result.append(piece)
        return result
