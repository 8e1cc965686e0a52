import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.reading.inputs import MASKED, Logits
from modicum.reading.spans import best_spans, n_best_spans, no_answer_scores


def random_logits(lengths, seed, has_no_answer=False):
    generator = torch.Generator().manual_seed(seed)
    first = int(has_no_answer)
    shape = len(lengths), max(lengths) + first
    start, end = (3 * torch.randn(shape, generator=generator) for _ in range(2))
    for row, length in enumerate(lengths):
        start[row, length + first :], end[row, length + first :] = MASKED, MASKED
    return Logits(start, end)


def all_spans(logits, row, length, longest, first=0):
    """Every allowed span of a row, the best first: score, start, end."""
    start, end = logits.start[row, first:].tolist(), logits.end[row, first:].tolist()
    spans = [(start[i] + end[j], i, j) for i in range(length) for j in range(i, min(length, i + longest))]
    return sorted(spans, key=lambda span: (-span[0], span[2], span[1]))


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@settings(deadline=None)
@given(lengths=LENGTHS, longest=st.sampled_from([1, 2, 5, 15, 30]), seed=st.integers(0, 999), first=st.booleans())
def test_the_best_span_is_that_of_brute_force(lengths, longest, seed, first):
    logits = random_logits(lengths, seed, first)

    found = best_spans(logits, longest, has_no_answer=first)

    for row, length in enumerate(lengths):
        score, start, end = all_spans(logits, row, length, longest, int(first))[0]
        assert (int(found.start[row]), int(found.end[row])) == (start, end)
        assert float(found.score[row]) == pytest.approx(score, abs=1e-5)


@settings(deadline=None)
@given(lengths=LENGTHS, longest=st.sampled_from([1, 3, 30]), count=st.integers(1, 50), seed=st.integers(0, 999))
def test_the_n_best_spans_are_those_of_brute_force(lengths, longest, count, seed):
    logits = random_logits(lengths, seed)

    found = n_best_spans(logits, count, longest)

    for row, length in enumerate(lengths):
        wanted = all_spans(logits, row, length, longest)[:count]
        pairs = list(zip(found.start[row].tolist(), found.end[row].tolist(), strict=True))
        assert pairs == [(i, j) for _, i, j in wanted] + [(-1, -1)] * (count - len(wanted))
        assert all(found.score[row, len(wanted) :] == -torch.inf)


def test_the_first_of_the_n_best_is_the_best():
    logits = random_logits([20, 7], 0, has_no_answer=True)

    best, first = best_spans(logits, 4, has_no_answer=True), n_best_spans(logits, 3, 4, has_no_answer=True)

    for one, many in zip(best, first, strict=True):
        torch.testing.assert_close(one, many[:, 0])


def test_probabilities_of_all_spans_and_of_the_wrong_way_round_sum_to_one():
    logits = random_logits([5], 0)

    spans = n_best_spans(logits, 15, 5)  # all with start <= end

    start, end = logits.start.softmax(1)[0], logits.end.softmax(1)[0]
    reversed_share = sum(float(start[i] * end[j]) for i in range(5) for j in range(i))
    assert float(spans.log_probability.exp().sum()) + reversed_share == pytest.approx(1, abs=1e-5)


def test_no_answer_takes_its_share_of_the_probability():
    logits = random_logits([6], 1, has_no_answer=True)

    best = best_spans(logits, has_no_answer=True)

    start, end = logits.start.log_softmax(1)[0], logits.end.log_softmax(1)[0]
    wanted = start[best.start[0] + 1] + end[best.end[0] + 1]
    torch.testing.assert_close(best.log_probability[0], wanted)
    torch.testing.assert_close(no_answer_scores(logits), logits.start[:, 0] + logits.end[:, 0])
    assert math.exp(float(best.log_probability[0])) + float((start[0] + end[0]).exp()) < 1


def test_half_precision_logits_are_summed_in_single_precision():
    logits = Logits(*(part.half() for part in random_logits([9], 2)))

    assert best_spans(logits).score.dtype == torch.float32


@pytest.mark.parametrize("longest", [0, -3])
def test_answers_of_no_words_are_refused(longest):
    with pytest.raises(ValueError, match=f"max_answer_tokens must be at least 1, got {longest}"):
        best_spans(random_logits([3], 0), longest)


def test_no_spans_are_refused():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        n_best_spans(random_logits([3], 0), 0)
