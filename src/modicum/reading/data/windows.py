"""Pieces of long passages that a reader takes one at a time."""

from collections.abc import Sequence

from modicum.reading.data.alignment import Span


def windows(num_tokens: int, length: int, stride: int) -> list[range]:
    """Returns windows that together cover a passage.

    A passage that is not longer than ``length`` is one window. In a longer one every window has ``length`` tokens: they
    begin at the multiples of ``stride``, and the last ends with the passage.

    Args:
        num_tokens: Tokens of the passage, at least 1.
        length: Tokens of a window.
        stride: Tokens from the beginning of a window to the next, at most ``length``.

    Raises:
        ValueError: If a number is below 1, or the stride would leave tokens out.
    """
    if num_tokens < 1 or not 1 <= stride <= length:
        raise ValueError(
            f"windows need at least 1 token and 1 <= stride <= length, got {num_tokens} tokens, stride {stride} and "
            f"length {length}"
        )
    if num_tokens <= length:
        return [range(num_tokens)]
    last = num_tokens - length
    return [range(start, start + length) for start in (*range(0, last, stride), last)]


def widest_view(pieces: Sequence[range], span: Span) -> range | None:
    """Returns the window with the most context on the poorer side of a span; None if none holds the whole span."""
    holding = [piece for piece in pieces if piece.start <= span.first and span.last < piece.stop]
    return max(holding, key=lambda piece: min(span.first - piece.start, piece.stop - 1 - span.last), default=None)
