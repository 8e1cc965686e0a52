import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.worth import MeanWorth, SetWorth, bootstrap_interval


def spread(answers):
    """A measure of a set that is no mean of its samples."""
    return max(answers) - min(answers)


VALUES = st.lists(st.floats(-50, 50), min_size=1, max_size=20)
KINDS = pytest.mark.parametrize(
    "make", [lambda values: MeanWorth(torch.tensor(values)), lambda values: SetWorth(values, spread)]
)


@KINDS
@settings(deadline=None)
@given(values=VALUES, data=st.data())
def test_joined_parts_are_the_whole(make, values, data):
    cut = data.draw(st.integers(1, len(values)))
    parts = [make(part) for part in (values[:cut], values[cut:]) if part]
    joined = parts[0].join(parts[1:])
    assert len(joined) == len(values)
    assert joined.total() == make(values).total()


@KINDS
@settings(deadline=None)
@given(values=VALUES, data=st.data())
def test_taken_samples_are_worth_what_they_are_alone(make, values, data):
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=9))
    worth = make(values)
    assert worth.take(torch.tensor(rows)).each().tolist() == worth.each()[rows].tolist()
    assert worth.take(torch.tensor(rows)).total() == make([values[row] for row in rows]).total()


class TestMeanWorth:
    def test_by_hand(self):
        worth = MeanWorth(torch.tensor([30.5, 28.5, 34.0]))
        assert (worth.total(), worth.each().tolist()) == (31.0, [30.5, 28.5, 34.0])

    def test_nothing_has_no_mean(self):
        assert math.isnan(MeanWorth(torch.empty(0)).total())


class TestSetWorth:
    def test_by_hand(self):
        worth = SetWorth([3.0, 8.0, 4.0], spread)
        assert (worth.total(), worth.each().tolist()) == (5.0, [0.0, 0.0, 0.0])

    def test_nothing_is_not_measured(self):
        assert math.isnan(SetWorth([], spread).total())


class TestBootstrapInterval:
    @settings(deadline=None)
    @given(hits=st.lists(st.booleans(), min_size=1, max_size=100))
    def test_it_holds_the_mean(self, hits):
        low, high = bootstrap_interval(MeanWorth(torch.tensor(hits)))
        assert 0 <= low <= sum(hits) / len(hits) <= high <= 1

    def test_it_matches_explicit_resampling(self):
        generator = np.random.default_rng(1)
        hits = generator.random(1000) < 0.8
        means = [hits[generator.integers(1000, size=1000)].mean() for _ in range(4000)]
        # Each end has a standard error of 0.001; those of a 90 % interval lie 0.004 further in.
        assert bootstrap_interval(MeanWorth(torch.tensor(hits))) == pytest.approx(
            np.quantile(means, [0.025, 0.975]), abs=0.003
        )

    @pytest.mark.parametrize("right", [True, False])
    def test_it_has_no_width_where_all_agree(self, right):
        assert bootstrap_interval(MeanWorth(torch.full((5,), right))) == (right, right)

    def test_nothing_has_no_interval(self):
        assert all(math.isnan(end) for end in bootstrap_interval(MeanWorth(torch.empty(0))))

    def test_it_is_the_same_every_time(self):
        worth = MeanWorth(torch.tensor([True, True, False]))
        assert bootstrap_interval(worth) == bootstrap_interval(worth)

    @pytest.mark.parametrize(
        "make", [lambda values: MeanWorth(torch.from_numpy(values)), lambda values: SetWorth(values.tolist(), np.mean)]
    )
    def test_that_of_other_values_is_resampled(self, make):
        values = 30 + 2 * np.random.default_rng(0).normal(size=400)
        low, high = bootstrap_interval(make(values))
        error = 1.96 * values.std() / 20  # of the mean of 400
        assert [low, high] == pytest.approx([values.mean() - error, values.mean() + error], abs=0.05)

    def test_hits_in_numbers_have_the_interval_of_hits(self):
        hits = torch.arange(50) % 3 == 0
        assert bootstrap_interval(MeanWorth(hits.float())) == bootstrap_interval(MeanWorth(hits))
