import math

import pytest
import torch

from modicum.adaptive import efficiency
from modicum.adaptive.efficiency import Efficiency, mean_macs, measure_efficiency, measure_route_times
from modicum.measuring.counting import count_macs


def efficiency_of(saved_in_theory, saved_on_clock):
    return Efficiency(1, 1, "cpu", 1.0, 1.0, saved_in_theory, saved_on_clock)


@pytest.fixture
def macs_as_seconds(monkeypatch):
    """A clock on which a multiply-add takes a microsecond and nothing else takes any time."""
    asked = []

    def time_in_turn(runs, *, rounds):
        asked.append((tuple(runs), rounds))
        return {name: 1e-6 * count_macs(run) for name, run in runs.items()}

    monkeypatch.setattr(efficiency, "time_in_turn", time_in_turn)
    return asked


class Recorder:
    """Stands before a network and notes the sizes of the batches that it gets."""

    def __init__(self, model, sizes):
        self.model, self.sizes = model, sizes

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, images):
        self.sizes.append(len(images))
        return self.model(images)

    def predict(self, images, knob):
        self.sizes.append(len(images))
        return self.model.predict(images, knob)


class TestEfficiency:
    def test_realised_share_by_hand(self):
        assert efficiency_of(0.5, 0.4).realised == pytest.approx(0.8)

    def test_slower_on_the_clock_is_negative(self):
        assert efficiency_of(0.5, -0.1).realised == pytest.approx(-0.2)

    @pytest.mark.parametrize("saved_in_theory", [0.0, -0.1])
    def test_nothing_is_realised_where_nothing_was_promised(self, saved_in_theory):
        assert math.isnan(efficiency_of(saved_in_theory, -0.3).realised)


class TestMeasureEfficiency:
    def test_everything_is_realised_on_a_clock_that_counts_multiply_adds(self, case, macs_as_seconds):
        knob = case.knobs[4]
        images = case.images[::4]
        reports = measure_efficiency(case.model, case.model.plain_network(), images, [1, 4, 16], knob=knob)
        routed = float(case.model.predict(images, knob).macs.mean())
        for report, batch_size in zip(reports, [1, 4, 16], strict=True):
            assert report.batch_size == batch_size
            assert report.plain_ms == pytest.approx(1e-3 * case.model.costs.plain)
            assert report.routed_ms == pytest.approx(1e-3 * routed)
            assert report.saved_in_theory == pytest.approx(1 - routed / case.model.costs.plain)
            assert report.saved_on_clock == pytest.approx(report.saved_in_theory)
            assert report.realised == pytest.approx(1)

    def test_both_are_timed_in_turn(self, case, macs_as_seconds):
        measure_efficiency(case.model, case.model.plain_network(), case.images, [8, 4], knob=0.0, rounds=3)
        assert macs_as_seconds == [(("plain", "routed"), 3)] * 2

    def test_both_get_all_images_in_batches_of_the_size(self, case, macs_as_seconds):
        plain_sizes, routed_sizes = [], []
        plain = Recorder(case.model.plain_network(), plain_sizes)
        measure_efficiency(Recorder(case.model, routed_sizes), plain, case.images, [16], knob=0.0)
        assert plain_sizes == routed_sizes == [16, 16, 8]

    def test_it_says_where_it_ran(self, case, macs_as_seconds):
        (report,) = measure_efficiency(case.model, case.model.plain_network(), case.images, [40], knob=0.0)
        assert (report.device, report.threads) == ("cpu", torch.get_num_threads())

    def test_no_gradients_are_recorded(self, case, macs_as_seconds):
        modes = []
        plain = case.model.plain_network()
        plain.register_forward_hook(lambda *_: modes.append(torch.is_inference_mode_enabled()))
        measure_efficiency(case.model, plain, case.images, [40], knob=0.0)
        assert modes == [True]

    def test_single_samples_have_a_slowest_hundredth_that_is_that_of_their_routes(self, case, macs_as_seconds):
        knob, images = case.knobs[4], case.images[::4]
        one_by_one, batches = measure_efficiency(case.model, case.model.plain_network(), images, [1, 4], knob=knob)
        most_expensive = float(case.model.predict(images, knob).macs.max())
        assert one_by_one.routed_p99_ms == pytest.approx(1e-3 * most_expensive)
        assert one_by_one.plain_p99_ms == pytest.approx(1e-3 * case.model.costs.plain)
        assert one_by_one.num_samples == len(images)
        assert (batches.plain_p99_ms, batches.routed_p99_ms, batches.num_samples) == (None, None, None)


@pytest.mark.parametrize("knob", range(10))
def test_mean_macs_are_those_that_predict_reports(case, knob):
    executed = float(case.model.predict(case.images, case.knobs[knob]).macs.mean())
    assert mean_macs(case.model, case.images, case.knobs[knob]) == executed


class TestMeasureRouteTimes:
    def test_times_are_proportional_on_a_clock_that_counts_multiply_adds(self, case, macs_as_seconds):
        times = measure_route_times(case.model, case.model.plain_network(), case.images, batch_size=3)
        routes = torch.cat([case.model.policy.decide(case.scored.scores, knob) for knob in case.knobs])
        assert times.unit == "ms"
        assert times.of(routes).tolist() == pytest.approx((1e-3 * case.model.costs.of(routes)).tolist())
        assert times.decision == pytest.approx(1e-3 * case.model.costs.decision)
        assert times.plain == pytest.approx(1e-3 * case.model.costs.plain)

    def test_decision_that_costs_nothing_is_not_timed(self, exit_case, macs_as_seconds):
        measure_route_times(exit_case.model, exit_case.model.plain_network(), exit_case.images, 2, rounds=7)
        assert macs_as_seconds == [(("run",), 7)] * 4  # three exits and the plain network

    def test_few_images_are_repeated(self, menu_case, macs_as_seconds):
        times = measure_route_times(menu_case.model, None, menu_case.images[:3], batch_size=8)
        assert times.per_route == pytest.approx([1e-3 * cost for cost in menu_case.model.costs.per_route])
