"""The best answers that logits of start and end allow: spans that are not too long, and whether there is an answer.

Section 2.3 of the paper: a span from i to j has the probability ``p_start(i) p_end(j)``. Scores are sums of logits, not
of log-probabilities, because only those can be compared between windows of one passage, each normalised by itself.
"""
# B pairs, L passage words ("no answer" excluded), K words of the longest answer allowed, N answers wanted

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from modicum.reading.inputs import MASKED, Logits

MAX_ANSWER_TOKENS = 30  # 99 % of SQuAD's answers have 17 words or fewer
_LEAST_CANDIDATE = MASKED / 2  # sums below have padding in them


class Spans(NamedTuple):
    """Answers, (B,) or (B, N) with the best first.

    Where a passage has fewer spans than were asked for, the rest has start and end -1, score and log-probability
    negative infinity.
    """

    start: Tensor  # int64: first word in the passage, from 0, "no answer" not counted
    end: Tensor  # int64: last word, included
    score: Tensor  # float32: start logit plus end logit
    log_probability: Tensor  # float32: of this span among all pairs of start and end, "no answer" included


def best_spans(logits: Logits, max_answer_tokens: int = MAX_ANSWER_TOKENS, *, has_no_answer: bool = False) -> Spans:
    """Returns the best span of each passage in time linear in its length; of equal ones, the one that ends first.

    For each end, the best start in reach is a maximum over a sliding window.

    Args:
        logits: A reader's logits; each row has a word.
        max_answer_tokens: K, at least 1.
        has_no_answer: The logits begin with "no answer", which is not a span: see `no_answer_scores`.

    Raises:
        ValueError: If ``max_answer_tokens`` is less than 1.
    """
    _check_length(max_answer_tokens)
    start, end = _of_words(logits, has_no_answer)
    reach = max_answer_tokens - 1
    best, place = F.max_pool1d(
        F.pad(start, (reach, 0), value=2 * MASKED).unsqueeze(1), max_answer_tokens, stride=1, return_indices=True
    )
    score, last = (best.squeeze(1) + end).max(dim=1)
    first = place.squeeze(1).gather(1, last.unsqueeze(1)).squeeze(1) - reach
    return Spans(first, last, score, score - _normaliser(logits))


def n_best_spans(
    logits: Logits, count: int, max_answer_tokens: int = MAX_ANSWER_TOKENS, *, has_no_answer: bool = False
) -> Spans:
    """Returns the ``count`` best spans of each passage, (B, count), see `best_spans`; needs memory for B L K scores.

    Raises:
        ValueError: If ``count`` or ``max_answer_tokens`` is less than 1.
    """
    _check_length(max_answer_tokens)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    start, end = _of_words(logits, has_no_answer)
    reach = max_answer_tokens - 1
    ends = F.pad(end, (0, reach), value=2 * MASKED).unfold(
        1, max_answer_tokens, 1
    )  # (B, L, K): ends in reach of a start
    band = (start.unsqueeze(2) + ends).flatten(1)
    if missing := max(0, count - band.shape[1]):
        band = F.pad(band, (0, missing), value=2 * MASKED)
    score, place = band.topk(count, dim=1)
    first = place // max_answer_tokens
    last = first + place % max_answer_tokens
    none = score < _LEAST_CANDIDATE
    return Spans(
        first.masked_fill(none, -1),
        last.masked_fill(none, -1),
        score.masked_fill(none, -torch.inf),
        (score - _normaliser(logits).unsqueeze(1)).masked_fill(none, -torch.inf),
    )


def no_answer_scores(logits: Logits) -> Tensor:
    """Scores (B,) of "no answer", to be compared with those of spans: its logit as start plus that as end."""
    return logits.start[:, 0] + logits.end[:, 0]


def _of_words(logits: Logits, has_no_answer: bool) -> Logits:
    first = int(has_no_answer)
    return Logits(logits.start[:, first:].float(), logits.end[:, first:].float())


def _normaliser(logits: Logits) -> Tensor:
    """Returns what to subtract from a score for a log probability, (B,)."""
    return logits.start.float().logsumexp(1) + logits.end.float().logsumexp(1)


def _check_length(max_answer_tokens: int) -> None:
    if max_answer_tokens < 1:
        raise ValueError(f"max_answer_tokens must be at least 1, got {max_answer_tokens}")
