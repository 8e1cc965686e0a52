import numpy as np
import torch

from modicum.adaptive.exits import CommonThreshold
from modicum.adaptive.planned import PlannedExits, PlannedNumpyExits, shuffled_routes

ROUTES = torch.tensor([1, 0, 2, 0])


class Noting(CommonThreshold):
    """Notes the exits at which it decides."""

    def __init__(self, num_exits):
        super().__init__(num_exits)
        self.seen = []

    def leaves(self, index, confidence, knob):
        self.seen.append(index)
        return super().leaves(index, confidence, knob)


def test_samples_leave_where_it_was_planned_and_every_decision_is_paid():
    paid = Noting(3)
    rule = PlannedExits(paid, 3)
    rule.plan(ROUTES)
    masks = [rule.leaves(0, torch.ones(4), 0.5), rule.leaves(1, torch.ones(2), 0.5), rule.leaves(2, torch.ones(1), 0.5)]
    assert [mask.tolist() for mask in masks] == [[False, True, False, True], [True, False], [True]]
    assert paid.seen == [0, 1, 2]


def test_a_runner_leaves_alike():
    rule = PlannedNumpyExits(ROUTES.numpy(), 3)
    masks = [rule.leaves(index, np.ones(count, np.float32), 0.5) for index, count in enumerate((4, 2, 1))]
    assert [mask.tolist() for mask in masks] == [[False, True, False, True], [True, False], [True]]


def test_shares_are_dealt_out_to_the_nearest_sample():
    routes = shuffled_routes(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 21)
    assert routes.bincount().tolist() == [10, 7, 4]  # of 10.5, 6.3 and 4.2
    assert routes.tolist() != sorted(routes.tolist())
