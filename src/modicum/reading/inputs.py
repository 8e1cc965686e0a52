"""What every reader takes and gives: a batch of passages and questions over a table of its distinct words, and logits.

Fixed word vectors travel with the batch. So a network holds no frozen table of millions of numbers, words never seen in
training may have vectors in prediction, and whatever depends on the word alone is computed once per distinct word.
"""
# B pairs of passage and question, L passage words, M question words, V distinct words, W characters, p1 word dimensions

from typing import NamedTuple

import torch
from torch import Tensor

MASKED = -1e30  # logit of what is no candidate: no probability is left in single precision, and sums of two are finite


class Inputs(NamedTuple):
    """One batch for a reader, in the order of its ``forward``.

    ``passage`` and ``question`` hold rows of the table that ``words``, ``vectors`` and ``characters`` make up. Row 0 is
    padding: its vector and its characters are zero. W is the same in every batch, as words are cut or padded to it.
    """

    words: Tensor  # (V,) int64: rows of the vocabulary; 0 padding, 1 unknown word, whose vector the network has itself
    vectors: Tensor  # (V, p1) float32: fixed vectors; zero where a word has none
    characters: Tensor  # (V, W) int64: 0 padding, 1 unknown character
    passage: Tensor  # (B, L) int64: rows of the table; 0 after the end
    question: Tensor  # (B, M) int64: the same
    match: Tensor  # (B, L) float32: 1 where the passage's word occurs in the question; ignored without match feature

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Inputs":
        """Returns the batch on ``device``, its vectors and matches in the precision that the network takes."""
        placed = (tensor.to(device, non_blocking=True) for tensor in self)
        return Inputs(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in placed))


class Logits(NamedTuple):
    """Scores of each passage word as the first and as the last of the answer, single precision.

    Both are (B, L), or (B, L + 1) with "no answer" before the first word. Padding has the logit `MASKED`.
    """

    start: Tensor
    end: Tensor
