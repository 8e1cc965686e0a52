"""Attention between passage and question, in both directions (paper, section 2.2.3).

Each word of the passage is joined by what it finds in the question and, through the question, in the passage. The
second is computed as ``S1 (S2^T C)`` and not as ``(S1 S2^T) C``, which would hold all pairs of passage words.
"""
# B pairs, L passage words, M question words, d width

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoded(NamedTuple):
    """Words with their context."""

    features: Tensor  # (B, L, d)
    present: Tensor  # (B, L) bool, false at padding


class ContextQueryAttention(nn.Module):
    """Trilinear similarity, normalised over the question's words and over the passage's.

    Args:
        width: d.
        dropout: Of what the similarity reads, in training.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        bound = math.sqrt(6 / (width + 1))  # Xavier's, of d inputs and one output
        self.weight = nn.Parameter(torch.empty(3, width).uniform_(-bound, bound))  # of passage, question, product
        self.dropout = nn.Dropout(dropout)

    def similarity(self, passage: Tensor, question: Tensor) -> Tensor:
        """Returns ``w1 c + w2 q + w3 (c * q)`` for each pair of words, (B, L, M); a bias would change no softmax."""
        passage, question = self.dropout(passage), self.dropout(question)
        of_passage, of_question, of_product = self.weight
        rows = torch.matmul(passage, of_passage)
        columns = torch.matmul(question, of_question)
        products = torch.matmul(passage * of_product, question.transpose(1, 2))
        return products + rows.unsqueeze(2) + columns.unsqueeze(1)

    def to_question(self, passage: Encoded, question: Encoded) -> Tensor:
        """Returns S1 (B, L, M): how a passage word spreads its attention over the question's words; rows sum to 1."""
        return _softmax(self.similarity(passage.features, question.features), question.present.unsqueeze(1), dim=2)

    def forward(self, passage: Encoded, question: Encoded) -> Tensor:
        """Returns words of the passage (B, L, 4 d): ``[c, a, c * a, c * b]``."""
        c, q = passage.features, question.features
        similarity = self.similarity(c, q)
        to_question = _softmax(similarity, question.present.unsqueeze(1), dim=2).to(c.dtype)  # S1
        to_passage = _softmax(similarity, passage.present.unsqueeze(2), dim=1).to(c.dtype)  # S2
        a = to_question @ q
        b = to_question @ (to_passage.transpose(1, 2) @ c)
        return torch.cat([c, a, c * a, c * b], dim=2)


def _softmax(similarity: Tensor, present: Tensor, dim: int) -> Tensor:
    """Computes a softmax in single precision over what is present; the rest gets the lowest number, not -1e30."""
    single = similarity.float()
    return F.softmax(single.masked_fill(~present, torch.finfo(torch.float32).min), dim=dim)
