import math

import pytest
import torch
from torch.autograd import gradcheck

from modicum.classify.blockdrop.losses import (
    bounded,
    entropies,
    excess_cost,
    free_blocks,
    log_probabilities,
    policy_losses,
    rewards,
    straight_through_gates,
    usage_shares,
)

ALL = torch.ones(3, dtype=torch.bool)


def keep_first(count, num_blocks):
    return (torch.arange(num_blocks) < count)[None]


def probabilities(seed=0, count=5, num_blocks=3):
    generator = torch.Generator().manual_seed(seed)
    return (0.1 + 0.8 * torch.rand(count, num_blocks, generator=generator, dtype=torch.float64)).requires_grad_()


def test_right_answer_with_6_of_15_blocks_earns_084():
    shares = usage_shares([1.0] * 15, "blocks")
    assert rewards(torch.tensor([True]), keep_first(6, 15), shares, gamma=-5).item() == pytest.approx(0.84)


def test_wrong_answer_earns_gamma_however_little_is_kept():
    shares = usage_shares([1.0] * 15, "blocks")
    keep = torch.cat([keep_first(count, 15) for count in (0, 6, 15)])
    assert rewards(torch.zeros(3, dtype=torch.bool), keep, shares, gamma=-5).tolist() == [-5, -5, -5]


@pytest.mark.parametrize(("count", "expected"), [(0, 1.0), (15, 0.0)])
def test_reward_of_a_right_answer_lies_between_all_and_no_blocks(count, expected):
    shares = usage_shares([1.0] * 15, "blocks")
    assert rewards(torch.tensor([True]), keep_first(count, 15), shares, gamma=-5).item() == pytest.approx(expected)


def test_usage_counts_blocks_alike_or_by_cost():
    costs, keep, right = [3.0, 1.0, 4.0], torch.tensor([[True, False, True]]), torch.tensor([True])
    by_blocks = rewards(right, keep, usage_shares(costs, "blocks"), gamma=-1).item()
    by_cost = rewards(right, keep, usage_shares(costs, "cost"), gamma=-1).item()
    assert by_blocks == pytest.approx(1 - (2 / 3) ** 2)
    assert by_cost == pytest.approx(1 - (7 / 8) ** 2)


def test_bounded_probabilities_stay_between_one_minus_alpha_and_alpha():
    assert bounded(torch.tensor([0.0, 0.5, 0.75, 1.0]), 0.8).tolist() == pytest.approx([0.2, 0.5, 0.65, 0.8])


def test_log_probability_is_that_of_the_draw():
    keep, p = torch.tensor([[True, False, True]]), torch.tensor([[0.7, 0.6, 0.2]])
    assert log_probabilities(keep, p, ALL).item() == pytest.approx(math.log(0.7 * 0.4 * 0.2))


def test_log_probability_leaves_out_blocks_that_are_not_free():
    keep, p = torch.tensor([[True, False, True]]), torch.tensor([[0.7, 0.6, 0.2]])
    assert log_probabilities(keep, p, torch.tensor([False, False, True])).item() == pytest.approx(math.log(0.2))


def test_blocks_that_are_not_free_get_no_gradient():
    p, free = probabilities(), torch.tensor([False, True, True])
    log_probabilities(torch.ones(5, 3, dtype=torch.bool), p, free).sum().backward()
    assert (p.grad[:, 0] == 0).all()
    assert (p.grad[:, 1:] > 0).all()


def test_better_than_greedy_makes_the_draw_more_probable():
    p, keep = probabilities(), torch.tensor([[True, False, True]] * 5)
    policy_losses(torch.full((5,), 0.5), log_probabilities(keep, p, ALL)).sum().backward()
    assert torch.equal(p.grad < 0, keep)  # a step against the gradient goes towards the draw


def test_no_gradient_flows_into_the_rewards():
    advantage = torch.ones(5, requires_grad=True)
    loss = policy_losses(advantage, log_probabilities(torch.ones(5, 3, dtype=torch.bool), probabilities(), ALL))
    loss.sum().backward()
    assert advantage.grad is None


def test_policy_gradient_is_that_of_the_expected_reward_by_finite_differences():
    """Two blocks, all four keep-vectors weighed by their probability instead of drawn: a score-function identity."""
    keep = torch.tensor([[False, False], [False, True], [True, False], [True, True]])
    earned = torch.tensor([-2.0, 0.3, 0.75, 0.0], dtype=torch.float64)
    free, step = torch.ones(2, dtype=torch.bool), 1e-6

    def expected_reward(logits):
        p = torch.sigmoid(logits).expand(4, 2)
        return (log_probabilities(keep, p, free).exp() * earned).sum()

    logits = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    log_p = log_probabilities(keep, torch.sigmoid(logits).expand(4, 2), free)
    greedy = 0.3  # any constant: a baseline changes no expectation
    (log_p.exp().detach() * policy_losses(earned - greedy, log_p)).sum().backward()
    with torch.no_grad():
        differences = [
            (expected_reward(logits + step * unit) - expected_reward(logits - step * unit)) / (2 * step)
            for unit in torch.eye(2, dtype=torch.float64)
        ]
    torch.testing.assert_close(-logits.grad, torch.stack(differences), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["full", "one_sided"])
def test_gradient_of_the_entropy_agrees_with_finite_differences(kind):
    assert gradcheck(lambda p: entropies(p, kind), probabilities())


@pytest.mark.parametrize(("kind", "highest"), [("full", 0.5), ("one_sided", math.exp(-1))])
def test_entropy_is_highest_where_its_form_says(kind, highest):
    p = torch.linspace(0.2, 0.8, 601, dtype=torch.float64)[:, None]
    assert p[entropies(p, kind).argmax()].item() == pytest.approx(highest, abs=1e-3)


def test_full_entropy_by_hand():
    p = torch.tensor([[0.5, 0.5], [0.25, 1 - 0.25]])
    quarter = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert entropies(p, "full").tolist() == pytest.approx([2 * math.log(2), 2 * quarter])


@pytest.mark.parametrize(
    ("epoch", "epochs_per_block", "count"),
    [
        (0, 1, 1),
        (1, 1, 2),
        (4, 1, 5),
        (99, 1, 5),
        (0, 3, 1),
        (2, 3, 1),
        (3, 3, 2),
        (13, 3, 5),
        (0, 0.5, 2),
        (1, 0.5, 4),
    ],
)
def test_curriculum_frees_the_last_blocks_one_by_one(epoch, epochs_per_block, count):
    free = free_blocks(5, epoch, epochs_per_block)
    assert free.tolist() == [False] * (5 - count) + [True] * count


def test_gates_open_as_often_as_their_probability():
    torch.manual_seed(0)
    logits = torch.tensor([-1.0, 0.0, 2.0])
    shares = straight_through_gates(logits.expand(20_000, 3), 0.5).mean(0)
    torch.testing.assert_close(shares, logits.sigmoid(), rtol=0, atol=0.015)  # four standard deviations


def test_gates_are_hard_and_their_gradient_is_that_of_the_soft_ones():
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(7)
    gates = straight_through_gates(logits, 0.7)
    torch.manual_seed(7)
    uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    soft = ((logits + uniform.logit()) / 0.7).sigmoid()
    torch.testing.assert_close(gates, (soft >= 0.5).double())
    weights = torch.randn(6, 3, dtype=torch.float64)
    (ours,) = torch.autograd.grad((gates * weights).sum(), logits)
    (by_hand,) = torch.autograd.grad((soft * weights).sum(), logits)
    torch.testing.assert_close(ours, by_hand)


def test_excess_cost_by_hand_and_nothing_below_the_target():
    gates, costs = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), torch.tensor([4.0, 2.0, 2.0])
    assert excess_cost(gates, costs, 5.0).item() == pytest.approx(1 / 8)  # the mean cost is 6
    assert excess_cost(gates, costs, 6.0) == 0
