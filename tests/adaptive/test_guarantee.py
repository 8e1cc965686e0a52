import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.curve import knob_sequence
from modicum.adaptive.exits import CommonThreshold
from modicum.adaptive.guarantee import GuaranteeError, Terms, find_last_passing, samples_needed, upper_bound
from modicum.storage.errors import ModicumError

LEVELS = st.floats(1e-9, 0.5)
SHARES = st.floats(1e-4, 0.9)


def losses_from(table):
    """From the number of a knob to its losses: the columns of a table (N, knobs)."""
    return lambda knob: table[:, int(knob)]


def rising(num_samples, *num_losses):
    """Losses (N, knobs), bool: at each knob as many as given."""
    return torch.stack([torch.arange(num_samples) < count for count in num_losses], dim=1)


class TestUpperBound:
    @settings(deadline=None)
    @given(data=st.data(), num_samples=st.integers(1, 3000), level=LEVELS)
    def test_it_is_the_exact_one_of_scipy(self, data, num_samples, level):
        num_losses = data.draw(st.integers(0, num_samples))
        interval = binomtest(num_losses, num_samples, alternative="less").proportion_ci(1 - level, method="exact")
        assert upper_bound(num_losses, num_samples, level) == pytest.approx(interval.high, rel=1e-6)

    @settings(deadline=None)
    @given(num_samples=st.integers(1, 5000), level=LEVELS)
    def test_without_losses_it_is_a_root_of_the_level(self, num_samples, level):
        expected = -math.expm1(math.log(level) / num_samples)
        assert upper_bound(0, num_samples, level) == pytest.approx(expected, rel=1e-9)

    @settings(deadline=None)
    @given(data=st.data(), num_samples=st.integers(2, 2000), level=LEVELS)
    def test_more_losses_fewer_samples_or_more_confidence_raise_it(self, data, num_samples, level):
        num_losses = data.draw(st.integers(0, num_samples - 2))
        bound = upper_bound(num_losses, num_samples, level)
        assert bound < upper_bound(num_losses + 1, num_samples, level)
        assert bound < upper_bound(num_losses, num_samples - 1, level)
        assert bound < upper_bound(num_losses, num_samples, level / 2)
        assert num_losses / num_samples < bound

    def test_it_is_1_where_all_samples_have_a_loss_or_there_are_none(self):
        assert upper_bound(7, 7, 0.05) == upper_bound(0, 0, 0.05) == 1

    def test_it_keeps_its_digits_near_full_confidence(self):
        level = 1 - (1 - 1e-15)  # as a double has it
        assert upper_bound(0, 10, level) == pytest.approx(1 - level**0.1, rel=1e-12)


class TestSamplesNeeded:
    @pytest.mark.parametrize(
        ("max_loss", "num_losses", "expected"),
        [(0.005, 0, 598), (0.01, 0, 299), (0.02, 0, 149), (0.005, 1, 947), (0.005, 2, 1258)],
    )
    def test_published_numbers(self, max_loss, num_losses, expected):
        assert samples_needed(Terms(max_loss), num_losses) == expected

    @settings(deadline=None)
    @given(max_loss=st.floats(1e-3, 0.99), confidence=st.floats(0.01, 0.999999), num_losses=st.integers(0, 5))
    def test_so_many_pass_and_one_less_does_not(self, max_loss, confidence, num_losses):
        terms = Terms(max_loss, confidence)
        needed = samples_needed(terms, num_losses)
        assert upper_bound(num_losses, needed, terms.level) <= max_loss
        assert needed == num_losses + 1 or upper_bound(num_losses, needed - 1, terms.level) > max_loss


class TestTerms:
    @pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf, True, "0.5"])
    @pytest.mark.parametrize("name", ["max_loss", "confidence"])
    def test_what_is_no_share_is_refused(self, name, value):
        with pytest.raises(
            GuaranteeError, match=rf"^{name} must be a number between 0 and 1, both excluded, got {value}"
        ):
            Terms(**{"max_loss": 0.01, "confidence": 0.95} | {name: value})

    def test_no_choice_is_one_choice(self):
        with pytest.raises(GuaranteeError, match="num_choices must be at least 1, got 0"):
            Terms(0.01, num_choices=0)

    def test_choices_share_the_level(self):
        assert Terms(0.01, 0.9, num_choices=4).level == pytest.approx(0.025)


class TestFindLastPassing:
    def test_the_last_knob_before_the_first_failure_is_taken(self):
        passed = find_last_passing(range(5), losses_from(rising(600, 0, 0, 2, 30, 0)), Terms(0.02))
        assert (passed.knob, passed.num_losses, passed.num_samples) == (2, 2, 600)
        assert passed.bound == upper_bound(2, 600, Terms(0.02).level) <= 0.02

    def test_nothing_is_asked_beyond_the_first_failure(self):
        asked = []

        def losses(knob):
            asked.append(knob)
            return rising(600, 0, 30, 0)[:, knob]

        find_last_passing(range(3), losses, Terms(0.02))
        assert asked == [0, 1]

    def test_all_knobs_may_pass(self):
        assert find_last_passing(range(3), losses_from(rising(300, 0, 0, 0)), Terms(0.01)).knob == 2

    def test_too_few_samples_are_told_how_many_would_do_and_what_they_can_guarantee(self):
        message = (
            r"^no knob keeps the loss below 0\.5 % with 95 % confidence: the most expensive one has 0 losses on 100 "
            r"pictures, which can guarantee 2\.952 % at best; that takes at least 598 pictures without a loss: "
            r"allow a larger loss, or give more pictures$"
        )
        with pytest.raises(GuaranteeError, match=message):
            find_last_passing([0.0], losses_from(rising(100, 0)), Terms(0.005), noun="pictures")

    def test_losses_at_the_most_expensive_knob_are_told(self):
        message = r"has 2 losses on 600 samples.*that takes at least 598 samples without a loss, or 1,258 with 2 losses"
        with pytest.raises(GuaranteeError, match=message):
            find_last_passing([0.0], losses_from(rising(600, 2)), Terms(0.005))

    @settings(deadline=None)
    @given(num_samples=st.integers(1, 400), confidence=st.floats(0.5, 0.9999))
    def test_what_it_says_can_be_guaranteed_can_be(self, num_samples, confidence):
        losses = losses_from(rising(num_samples, 0))
        with pytest.raises(GuaranteeError) as error:
            find_last_passing([0.0], losses, Terms(1e-9, confidence))
        best = float(str(error.value).split("can guarantee ")[1].split(" %")[0]) / 100
        if best < 1:
            assert find_last_passing([0.0], losses, Terms(best, confidence)).bound <= best

    def test_networks_that_were_chosen_among_are_told_and_cost_level(self):
        losses = losses_from(rising(500, 0))
        assert find_last_passing([0.0], losses, Terms(0.01)).bound < 0.01
        with pytest.raises(GuaranteeError, match=r"on 500 samples \(one of 64 networks was chosen on them\)"):
            find_last_passing([0.0], losses, Terms(0.01, num_choices=64))

    def test_no_sample_guarantees_nothing(self):
        with pytest.raises(GuaranteeError, match="0 losses on 0 samples, which can guarantee 100 % at best"):
            find_last_passing([0.0], losses_from(rising(0, 0)), Terms(0.5))

    def test_a_loss_between_0_and_1_is_refused(self):
        with pytest.raises(ValueError, match="losses must be 0 or 1"):
            find_last_passing([0.0], lambda knob: torch.tensor([0.0, 0.5]), Terms(0.5))

    def test_no_knob_is_refused(self):
        with pytest.raises(ValueError, match="a sequence needs at least one knob"):
            find_last_passing([], losses_from(rising(1, 0)), Terms(0.5))

    @settings(deadline=None)
    @given(data=st.data(), max_loss=SHARES)
    def test_allowing_more_never_gives_a_more_expensive_knob(self, data, max_loss):
        counts = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=8))
        losses = losses_from(rising(200, *counts))
        try:
            strict = find_last_passing(range(len(counts)), losses, Terms(max_loss))
        except GuaranteeError:
            return
        more = Terms(max_loss + (1 - max_loss) / 2)
        assert find_last_passing(range(len(counts)), losses, more).knob >= strict.knob
        assert find_last_passing(range(len(counts)), losses, Terms(max_loss, 0.5)).knob >= strict.knob


def test_its_error_is_one_that_callers_catch():
    assert issubclass(GuaranteeError, ModicumError)
    assert issubclass(GuaranteeError, ValueError)


class Population:
    """Samples with two exits, of which the first is right the more often the more confident it is; risks are known."""

    max_loss, num_drawn = 0.02, 600

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        confidence = torch.rand(20_500, generator=generator, dtype=torch.float64)
        lost_early = torch.rand(len(confidence), generator=generator, dtype=torch.float64) < 0.12 * (1 - confidence)
        scores = torch.stack([confidence, torch.ones_like(confidence)], dim=1)
        policy, costs = CommonThreshold(2), MenuCosts(("early", "late"), (1.0, 4.0))
        knobs = knob_sequence(scores[:500], policy, costs)
        columns = [(policy.decide(scores[500:], knob) == 0) & lost_early[500:] for knob in knobs]
        self.losses = torch.stack(columns)  # (knobs, N)
        self.risk = self.losses.double().mean(dim=1).tolist()

    def redraws(self, times):
        generator = torch.Generator().manual_seed(1)
        for _ in range(times):
            rows = torch.randint(self.losses.shape[1], (self.num_drawn,), generator=generator)
            yield self.losses[:, rows]


@pytest.fixture(scope="module")
def population():
    return Population()


def test_over_a_thousand_calibration_sets_the_guarantee_fails_no_more_often_than_it_says(population):
    times, terms, failures = 1000, Terms(population.max_loss, 0.95), 0
    for drawn in population.redraws(times):
        passed = find_last_passing(range(len(drawn)), drawn.__getitem__, terms)
        failures += population.risk[passed.knob] > population.max_loss
    assert failures / times <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / times)
    assert failures > 0  # else the bound would be far too careful, or the population too easy to test anything


def test_without_a_bound_the_same_choice_would_fail_often(population):
    failures = 0
    for drawn in population.redraws(100):
        within = (drawn.double().mean(dim=1) <= population.max_loss).nonzero()
        failures += population.risk[int(within[-1])] > population.max_loss
    assert failures > 30


def test_the_sequence_spans_the_routes_and_rises(case):
    scores, policy, costs = case.scored.scores, case.model.policy, case.model.costs
    knobs = knob_sequence(scores, policy, costs)
    means = [float(costs.of(policy.decide(scores, knob)).mean()) for knob in knobs]
    ends = [float(costs.of(policy.decide(scores, knob)).mean()) for knob in policy.knob_range(scores)]
    assert list(knobs) == sorted(set(knobs))
    assert means == sorted(means, reverse=True)
    assert [means[0], means[-1]] == ends
