import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from modicum.classify.drnet.losses import (
    cheapest_correct,
    cost_penalty,
    multi_resolution_loss,
    straight_through_choice,
)

COSTS = torch.tensor([4.0, 2.5, 1.0], dtype=torch.float64)


def log_probabilities(seed, count=6):
    logits = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return logits.log_softmax(1).requires_grad_()


def sample_by_hand(log_pi, temperature, seed):
    """The choice and its soft form with the noise that follows from ``seed``."""
    torch.manual_seed(seed)
    noisy = log_pi - torch.empty_like(log_pi).exponential_().log()  # -log E is Gumbel noise where E is exponential
    return F.one_hot(noisy.argmax(1), 3).to(log_pi), (noisy / temperature).softmax(1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_choice_is_one_hot_at_the_noisy_maximum(temperature):
    log_pi = log_probabilities(0)
    torch.manual_seed(7)
    choice = straight_through_choice(log_pi, temperature)
    hard, _ = sample_by_hand(log_pi, temperature, 7)
    torch.testing.assert_close(choice, hard)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_gradient_of_the_choice_is_that_of_the_soft_sample(temperature):
    log_pi, weights = log_probabilities(0), torch.randn(6, 3, dtype=torch.float64)
    torch.manual_seed(7)
    (ours,) = torch.autograd.grad((straight_through_choice(log_pi, temperature) * weights).sum(), log_pi)
    _, soft = sample_by_hand(log_pi, temperature, 7)
    (by_hand,) = torch.autograd.grad((soft * weights).sum(), log_pi)
    torch.testing.assert_close(ours, by_hand)


def test_choices_occur_as_often_as_their_probability():
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    torch.manual_seed(0)
    shares = straight_through_choice(probabilities.log().expand(20_000, 3), 0.5).mean(0)
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.0139)  # four standard deviations at 0.6


def test_penalty_by_hand():
    choice = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    # the mean cost is (4 + 2.5 + 1 + 4) / 4 = 2.875; (2.875 - 2) / (4 - 1)
    assert cost_penalty(choice, COSTS, 2.0).item() == pytest.approx(0.875 / 3)


@pytest.mark.parametrize("target", [2.875, 3.5])
def test_nothing_is_penalised_up_to_the_target(target):
    choice = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    assert cost_penalty(choice, COSTS, target) == 0


def test_gradient_of_the_penalty_agrees_with_finite_differences():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    assert gradcheck(lambda z: cost_penalty(z.softmax(1), COSTS, 1.0), logits)


def test_gradient_of_the_penalty_makes_dear_routes_less_probable():
    logits = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    cost_penalty(logits.softmax(1), COSTS, 1.0).backward()
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 2] < 0).all()


@pytest.fixture
def logits():
    return torch.randn(8, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.fixture
def labels():
    return torch.arange(8) % 5


def test_multi_resolution_loss_is_the_sum_over_resolutions(logits, labels):
    expected = sum(F.cross_entropy(logits[:, index], labels) for index in range(3))
    torch.testing.assert_close(multi_resolution_loss(logits, labels), expected)


def test_distillation_adds_the_divergence_from_the_next_larger_resolution(logits, labels):
    probabilities = logits.softmax(2)
    teacher, student = probabilities[:, :-1], probabilities[:, 1:]
    divergence = (teacher * (teacher / student).log()).sum() / 8
    expected = multi_resolution_loss(logits, labels) + 0.7 * divergence
    torch.testing.assert_close(multi_resolution_loss(logits, labels, distillation=0.7), expected)


def test_teacher_gets_no_gradient_from_distillation(logits, labels):
    (with_it,) = torch.autograd.grad(multi_resolution_loss(logits, labels, distillation=0.7), logits)
    (without,) = torch.autograd.grad(multi_resolution_loss(logits, labels), logits)
    torch.testing.assert_close(with_it[:, 0], without[:, 0])
    assert (with_it[:, 1:] - without[:, 1:]).abs().min() > 0


def test_cheapest_correct_by_hand():
    hits = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert cheapest_correct(hits, COSTS).tolist() == [2, 1, 0, 2, 1, 2]


def test_cheapest_correct_goes_by_price_not_by_place():
    hits = torch.tensor([[1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    assert cheapest_correct(hits, torch.tensor([3.0, 1.0, 2.0])).tolist() == [1, 1]


@pytest.mark.parametrize("distillation", [0.0, 0.7])
def test_mean_over_the_resolutions_is_the_sum_divided_by_their_number(distillation):
    logits = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    summed, mean = (
        multi_resolution_loss(logits, labels, distillation=distillation, reduction=how) for how in ("sum", "mean")
    )
    torch.testing.assert_close(mean, summed / 3)
