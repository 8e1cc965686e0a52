from dataclasses import replace

import pytest
import torch

from modicum.adaptive.costs import MenuCosts, UnitCosts

MENU = MenuCosts(route_names=("32 px", "64 px", "48 px"), per_route=(10.0, 40.0, 22.0), decision=1.0)
UNITS = UnitCosts(per_unit=(4.0, 2.0, 1.0), floor=8.0, decision=0.5)
KEEP = torch.tensor([[True, True, True], [False, True, False], [False, False, False]])


class TestMenuCosts:
    def test_route_costs_include_the_decision(self):
        costs = MENU.of(torch.tensor([1, 0, 1]))
        assert costs.tolist() == [41, 11, 41]
        assert costs.dtype == torch.float64

    def test_no_routes_cost_nothing(self):
        assert MENU.of(torch.empty(0, dtype=torch.int64)).shape == (0,)

    def test_plain_network_is_the_most_expensive_route_without_the_decision(self):
        assert MENU.plain == 40

    def test_plain_network_costs_what_it_takes_alone_where_that_is_known(self):
        costs = replace(MENU, alone=30.0)
        assert costs.plain == 30
        assert costs.of(torch.tensor([1])).tolist() == [41]

    def test_plain_network_alone_has_its_own_time(self):
        times = replace(MENU, alone=30.0).in_milliseconds(lambda route: 1.0 + route.item(), decision=0.1, plain=2.5)
        assert (times.alone, times.plain) == (2.5, 2.5)

    def test_names_are_looked_up(self):
        assert MENU.names(torch.tensor([2, 2, 0])) == ["48 px", "48 px", "32 px"]

    def test_menu_goes_from_most_expensive_to_cheapest(self):
        assert MENU.menu().tolist() == [1, 2, 0]

    def test_menu_tells_large_costs_apart(self):
        assert MenuCosts(("a", "b"), (2.0**40, 2.0**40 + 1)).menu().tolist() == [1, 0]  # equal in float32

    def test_milliseconds_come_from_each_route_by_itself(self):
        times = MENU.in_milliseconds(lambda route: {0: 0.3, 1: 1.2, 2: 0.9}[route.item()], decision=0.1, plain=9.0)
        assert times == MenuCosts(("32 px", "64 px", "48 px"), (0.3, 1.2, 0.9), 0.1, "ms")

    @pytest.mark.parametrize(("names", "per_route"), [(("a",), (1.0, 2.0)), ((), ())])
    def test_names_and_costs_must_match(self, names, per_route):
        with pytest.raises(ValueError, match=r"a menu needs one cost per route, got \(.*\) for \(.*\)"):
            MenuCosts(names, per_route)


class TestUnitCosts:
    def test_route_costs_floor_decision_and_the_units_it_keeps(self):
        costs = UNITS.of(KEEP)
        assert costs.tolist() == [15.5, 10.5, 8.5]
        assert costs.dtype == torch.float64

    def test_no_routes_cost_nothing(self):
        assert UNITS.of(KEEP[:0]).shape == (0,)

    def test_plain_network_keeps_all_and_decides_nothing(self):
        assert UNITS.plain == 15

    def test_names_tell_how_many_units_stay(self):
        assert UNITS.names(KEEP) == ["3 of 3 blocks", "1 of 3 blocks", "0 of 3 blocks"]

    def test_routes_are_too_many_to_list(self):
        assert UNITS.menu() is None

    def test_milliseconds_come_from_each_unit_over_the_floor(self):
        seen = []

        def milliseconds(route):
            seen.append(route.tolist())
            return 2 + 0.5 * route[0, 0].item() + 0.25 * route[0, 1].item() - 0.1 * route[0, 2].item()

        times = UNITS.in_milliseconds(milliseconds, decision=0.1, plain=9.0)
        assert times == UnitCosts((0.5, 0.25, 0.0), 2.0, 0.1, "ms")  # no unit takes less than nothing
        assert seen == [[[False] * 3], [[True, False, False]], [[False, True, False]], [[False, False, True]]]
