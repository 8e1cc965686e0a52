import numpy as np
import torch

from modicum.detect.zoom.contenders import Contender, scattered
from modicum.detect.zoom.costs import pixel_costs
from modicum.detect.zoom.planning import Plan
from modicum.detect.zoom.policies import PrefixPolicy, plan_scores

WHOLE = np.array([0.0, 0, 640, 480])
WINDOWS = np.array([[0.0, 0, 320, 240], [320, 240, 640, 480], [32, 32, 96, 96]])


def contender():
    return Contender("any", PrefixPolicy(), plan_scores([Plan(WHOLE, WINDOWS, np.array([3.0, 2.0, 1.0]))] * 2))


def test_random_places_read_as_many_pixels_within_the_picture():
    routes = contender().at(0.5)
    costs = pixel_costs(0.25, [(640, 480)])
    for seed in range(5):
        moved = scattered(routes, seed)
        assert costs.of(moved).tolist() == costs.of(routes).tolist()
        for route in moved:
            assert (route[1:, :2] >= 0).all()
            assert (route[1:, 2:] <= torch.tensor([640, 480])).all()
    assert not torch.equal(scattered(routes, 0)[0], scattered(routes, 1)[0])


def test_random_places_of_a_cheaper_route_are_among_those_of_a_more_expensive_one():
    cheap, expensive = (scattered(contender().at(price), 0)[0].tolist() for price in (2.5, 0.5))
    assert all(row in expensive for row in cheap)


def test_whole_picture_stays_where_it_is():
    route = torch.tensor([[0, 0, 640, 480]] * 2)
    assert torch.equal(scattered([route], 0)[0], route)


def test_routes_at_a_cost_read_at_most_so_much_and_no_window_less_than_they_may():
    costs = pixel_costs(0.25, [(640, 480)])
    one, two = (float(costs.of(contender().at(price)).mean()) for price in (2.5, 1.5))
    assert [len(route) for route in contender().at_cost(costs, two)] == [3, 3]
    assert [len(route) for route in contender().at_cost(costs, two - 1)] == [2, 2]
    assert [len(route) for route in contender().at_cost(costs, one / 2)] == [1, 1]
