"""Plans: what they earn against exhaustive search, and what must hold of every plan."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.knobs import BudgetError
from modicum.detect.overlaps import areas, lie_inside
from modicum.detect.zoom.gains import BoxGains, MapGains
from modicum.detect.zoom.planning import ANY_GAIN, Budget, TimeModel, plan_by_density, plan_by_value, refine
from modicum.detect.zoom.windows import Grid, enumerate_windows

GRID = Grid.of(640, 384, columns=20)  # cells of 32 pixels
LATTICES = enumerate_windows(GRID, [(0.5, 0.5), (0.25, 0.25)])
PRICES = [0.0, ANY_GAIN, 0.25, 0.5, 1, 2, 4, 8, 16, 1e6]


def random_gains(seed, count=12, lowest=-0.3):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [600, 350], (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 90, (count, 2))], axis=1)
    return BoxGains.of(boxes, random.uniform(lowest, 1, count), GRID)


def earned(gains, windows):
    """What windows earn together: every box counts once."""
    return float(gains.gains[lie_inside(gains.boxes, windows).any(1)].sum())


SEEDS = st.integers(0, 100_000)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.booleans(), st.booleans(), st.sampled_from([0.0, 5e4]))
def test_a_higher_price_never_reads_more_pixels(seed, with_whole, is_refined, overhead):
    gains = random_gains(seed)
    plan = plan_by_density(gains, LATTICES, with_whole=with_whole, is_refined=is_refined, overhead=overhead)

    pixels = [areas(plan.at(price)).sum() for price in PRICES]

    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] == 0
    assert (np.diff(plan.prices) <= 0).all()


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_no_plan_reads_more_than_the_image(seed):
    plan = plan_by_density(random_gains(seed, count=60), LATTICES)

    assert all(areas(plan.at(price)).sum() <= GRID.pixels for price in PRICES)


def test_without_a_price_the_whole_image_is_read():
    plan = plan_by_density(random_gains(0), LATTICES)

    assert plan.at(0).tolist() == [[0, 0, 640, 384]]


def test_images_that_promise_nothing_are_left_at_any_price():
    boxes = random_gains(0).boxes
    for gains in (random_gains(0, count=0), BoxGains.of(boxes, np.full(len(boxes), -0.1), GRID)):
        assert len(plan_by_density(gains, LATTICES).at(ANY_GAIN)) == 0


@settings(deadline=None, max_examples=10)
@given(SEEDS)
def test_each_window_is_the_densest_of_what_the_ones_before_left(seed):
    gains = random_gains(seed, lowest=0.0)
    plan = plan_by_density(gains, LATTICES, with_whole=False, is_refined=False)
    candidates = np.concatenate([lattice.windows() for lattice in LATTICES])

    for number, window in enumerate(plan.windows):
        before = plan.windows[:number]
        for other in candidates:
            both = np.concatenate([before, other[None]])
            if areas(both).sum() <= GRID.pixels:
                gain = earned(gains, both) - earned(gains, before)
                assert gain / areas(other[None])[0] <= plan.prices[number] / GRID.pixels * (1 + 1e-6)
        gain = earned(gains, plan.windows[: number + 1]) - earned(gains, before)
        assert plan.prices[number] == pytest.approx(gain * GRID.pixels / areas(window[None])[0])


def test_two_windows_earn_nearly_what_the_best_pair_earns():
    """Greedy coverage is within 1 - 1/e of the best; on these layouts it is far closer."""
    lattices = enumerate_windows(Grid.of(640, 384, columns=10), [(0.25, 0.25)])
    candidates = lattices[0].windows()
    shares = []
    for seed in range(10):
        gains = random_gains(seed, lowest=0.0)
        plan = plan_by_density(gains, lattices, budget=Budget(max_windows=2), with_whole=False, is_refined=False)
        best = max(earned(gains, np.stack(pair)) for pair in combinations(candidates, 2))
        shares.append(earned(gains, plan.windows) / best)

    assert min(shares) >= 1 - 1 / np.e
    assert np.mean(shares) > 0.95


def test_the_whole_image_is_read_where_objects_are_everywhere():
    """A window earns per pixel what the whole does, until its borders cut boxes."""
    lefts, tops = (axis.ravel() for axis in np.meshgrid(np.arange(0, 640, 40), np.arange(0, 384, 40)))
    boxes = np.stack([lefts, tops, lefts + 39, tops + 39], axis=1).astype(float)
    gains = BoxGains.of(boxes, np.ones(len(boxes)), GRID)

    plan = plan_by_density(gains, LATTICES)

    assert plan.at(len(boxes) * 0.7).tolist() == [[0, 0, 640, 384]]


def test_windows_that_cost_more_than_their_pixels_are_fewer_and_larger():
    many = random_gains(7, count=60, lowest=0.0)
    plain, dear = (
        plan_by_density(many, LATTICES, with_whole=False, budget=Budget(max_windows=3), overhead=overhead)
        for overhead in (0.0, 1e6)
    )

    assert areas(dear.windows).mean() > areas(plain.windows).mean()
    assert earned(many, dear.windows) > earned(many, plain.windows)
    gain = earned(many, dear.windows[:1])
    assert dear.prices[0] == pytest.approx(gain * GRID.pixels / (areas(dear.windows[:1])[0] + 1e6))


def test_overhead_follows_from_times():
    assert TimeModel(10.0, 1e-4, 5.0).overhead == pytest.approx(50_000)
    assert TimeModel(10.0, 0.0, 5.0).overhead == 0


class TestRefining:
    def test_window_moves_to_hold_a_box_that_its_border_cut(self):
        gains = BoxGains.of(np.array([[200.0, 100, 240, 130], [230, 100, 264, 130]]), np.ones(2), GRID)
        window = np.array([96.0, 64, 256, 160])

        moved = refine(gains, window, LATTICES[1])

        assert (earned(gains, window[None]), earned(gains, moved[None])) == (1, 2)
        assert moved[2] >= 264 + 8

    def test_window_keeps_a_margin_around_what_it_is_for(self):
        gains = BoxGains.of(np.array([[97.0, 70, 140, 130]]), np.ones(1), GRID)

        left, top, *_ = refine(gains, np.array([96.0, 64, 256, 160]), LATTICES[1])

        assert left <= 97 - 8
        assert top <= 70 - 8 or top + 96 >= 138

    @settings(deadline=None, max_examples=40)
    @given(SEEDS)
    def test_moving_never_loses_and_stays_near_and_inside(self, seed):
        gains = random_gains(seed)
        for lattice in LATTICES:
            window = lattice.window(seed % len(lattice))
            moved = refine(gains, window, lattice)
            assert earned(gains, moved[None]) >= earned(gains, window[None]) - 1e-9
            assert (np.abs(moved - window) <= 32).all()
            assert lie_inside(moved[None], GRID.whole[None]).all()

    def test_window_that_nothing_draws_away_stays(self):
        window = np.array([96.0, 64, 256, 160])

        assert refine(random_gains(0, count=0), window, LATTICES[1]).tolist() == window.tolist()


class TestBudgets:
    gains = random_gains(3, count=40)

    @pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
    def test_pixels_stay_within_budget(self, share):
        budget = Budget(max_pixels=share * GRID.pixels)

        windows = plan_by_density(self.gains, LATTICES, budget=budget).at(ANY_GAIN)

        assert areas(windows).sum() <= share * GRID.pixels
        assert (len(windows) > 0) == (share > 0.0625)

    def test_windows_stay_within_budget(self):
        assert len(plan_by_density(self.gains, LATTICES, budget=Budget(max_windows=2)).at(ANY_GAIN)) <= 2
        assert len(plan_by_density(self.gains, LATTICES, budget=Budget(max_windows=0)).at(0)) == 0

    def test_predicted_time_stays_within_budget(self):
        time = TimeModel(fixed=10.0, per_pixel=1e-3, per_window=5.0)
        budget = Budget(max_ms=100.0, time=time)

        windows = plan_by_density(self.gains, LATTICES, budget=budget).at(ANY_GAIN)

        assert len(windows) > 0
        assert 10 + 1e-3 * areas(windows).sum() + 5 * len(windows) <= 100

    def test_time_without_a_prediction_is_refused(self):
        with pytest.raises(BudgetError, match="max_ms needs time"):
            Budget(max_ms=10.0)

    @pytest.mark.parametrize(("name", "limit"), [("max_windows", -1), ("max_pixels", -0.5), ("max_pixels", np.nan)])
    def test_limits_below_nothing_are_refused(self, name, limit):
        with pytest.raises(BudgetError, match=f"{name} must be at least 0, got {limit}"):
            Budget(**{name: limit})


class TestByValue:
    """With the sum of the map less the cost as its value, a plan is that of the greedy policy on maps."""

    @staticmethod
    def values(cells, price):
        gains = MapGains(GRID, cells)
        return [gains.on(lattice) - price * lattice.pixels / GRID.pixels for lattice in LATTICES]

    def plan(self, price, **options):
        cells = random_gains(5, lowest=0.0).map()
        return plan_by_value(cells, self.values, LATTICES, GRID, price, **options)

    def test_it_stops_where_no_window_is_worth_its_price(self):
        windows = self.plan(price=4.0)
        rest = MapGains(GRID, random_gains(5, lowest=0.0).map())
        for window in windows:
            rest = rest.without(window)

        assert 0 < len(windows) < 12
        assert max(value.max() for value in self.values(rest.cells, 4.0)) <= 0

    def test_it_stops_at_once_at_a_high_price(self):
        assert self.plan(price=1000.0).shape == (0, 4)

    def test_it_keeps_budgets(self):
        windows = self.plan(price=0.0, budget=Budget(max_pixels=GRID.pixels / 4))

        assert 0 < areas(windows).sum() <= GRID.pixels / 4
        assert len(self.plan(price=0.0, budget=Budget(max_windows=1))) == 1

    def test_it_refines_by_boxes(self):
        gains = random_gains(5, lowest=0.0)

        windows = self.plan(price=2.0, refined_by=gains)

        assert earned(gains, windows) >= earned(gains, self.plan(price=2.0)) - 0.5
