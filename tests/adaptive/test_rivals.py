import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.rivals import Offer, between, mix_at, paired_gain, static_at, undominated, upper_hull


def offer(name, cost, *each):
    return Offer(name, cost, torch.tensor(each, dtype=torch.float64))


SMALL, MIDDLE, LARGE = (
    offer("small", 1.0, 1, 0, 0, 0),
    offer("middle", 3.0, 1, 1, 0, 0),
    offer("large", 5.0, 1, 1, 1, 1),
)
OFFERS = st.lists(
    st.builds(lambda cost, hits: offer("any", cost, *hits), st.integers(1, 6), st.tuples(*[st.integers(0, 1)] * 4)),
    min_size=1,
    max_size=6,
)


def names(offers):
    return [each.name for each in offers]


def test_frontier_leaves_out_what_a_cheaper_one_equals_or_beats():
    worse, equal = offer("worse", 2.0, 0, 0, 0, 0), offer("equal", 6.0, 1, 1, 1, 1)
    assert names(undominated([equal, LARGE, worse, MIDDLE, SMALL])) == ["small", "middle", "large"]


def test_hull_leaves_out_what_a_mix_of_two_others_beats():
    assert names(upper_hull([LARGE, MIDDLE, SMALL])) == ["small", "large"]  # half of each: 62.5 %, middle has 50 %


def test_best_static_network_within_a_cost():
    assert static_at([SMALL, MIDDLE, LARGE], 4.9).name == "middle"
    assert static_at([SMALL, MIDDLE, LARGE], 0.9) is None


def test_mix_meets_the_cost_and_expects_the_mean_of_both_on_every_sample():
    mixed = mix_at([SMALL, MIDDLE, LARGE], 2.0)
    assert (mixed.name, mixed.cost) == ("small and large", 2.0)
    assert mixed.each.tolist() == [1.0, 0.25, 0.25, 0.25]


def test_mix_beyond_the_best_network_is_that_network_and_before_the_cheapest_nothing():
    assert mix_at([SMALL, LARGE], 9.0) == LARGE
    assert mix_at([SMALL, LARGE], 0.5) is None


@settings(deadline=None)
@given(OFFERS, st.floats(1, 7))
def test_no_mix_of_any_two_is_better_than_the_best_mix(offers, cost):
    best = mix_at(offers, cost)
    tried = [
        (1 - share) * first.worth + share * second.worth
        for first, second in itertools.product(offers, repeat=2)
        for share in np.linspace(0, 1, 21)
        if (1 - share) * first.cost + share * second.cost <= cost
    ]
    assert (best is None) == (not tried)
    assert best is None or max(tried) <= best.worth + 1e-9


def test_between_settings_the_neighbours_are_mixed_even_where_that_loses():
    dip = offer("dip", 3.0, 0, 0, 0, 0)
    assert between([SMALL, dip, LARGE], 2.0).worth == pytest.approx(0.125)
    assert between([SMALL, dip, LARGE], 3.0) == dip


class TestPairedGain:
    def test_gain_is_the_mean_difference(self):
        assert paired_gain(LARGE.each, SMALL.each).gain == pytest.approx(0.75)

    def test_equal_answers_leave_no_doubt_however_hard_the_samples(self):
        hits = torch.arange(200) % 2
        assert paired_gain(hits, hits) == (0.0, 0.0, 0.0)

    def test_interval_is_of_the_same_samples_for_both_and_so_far_narrower_than_of_independent_ones(self):
        generator = torch.Generator().manual_seed(0)
        ours = (torch.rand(2000, generator=generator) < 0.7).double()
        rival = ours.clone()
        rival[:40] = 0.0  # wrong on some more of the same samples
        paired = paired_gain(ours, rival)
        independent = paired_gain(ours, rival[torch.randperm(2000, generator=generator)])
        assert paired.low > 0
        assert independent.low < 0 < independent.high
        assert paired.high - paired.low < (independent.high - independent.low) / 4

    def test_interval_is_that_of_the_normal_approximation_for_many_samples(self):
        generator = torch.Generator().manual_seed(1)
        ours, rival = (torch.rand(4000, generator=generator) < share for share in (0.8, 0.75))
        found = paired_gain(ours, rival)
        half = 1.96 * float((ours.double() - rival.double()).std()) / 4000**0.5
        assert found.low == pytest.approx(found.gain - half, abs=0.15 * half)
        assert found.high == pytest.approx(found.gain + half, abs=0.15 * half)

    @pytest.mark.parametrize("rival", [torch.zeros(3), torch.zeros(0), torch.zeros(4, 1)])
    def test_other_samples_are_refused(self, rival):
        with pytest.raises(ValueError, match="the same samples, at least one, got"):
            paired_gain(torch.zeros(len(rival) and 4), rival)
