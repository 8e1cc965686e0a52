import pytest
import torch

from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.classify.resolution_and_blocks.training import mean_cost, straight_through_gates, target_cost
from modicum.storage.errors import RecipeError


def test_gates_are_kept_as_often_as_their_probability_says():
    torch.manual_seed(0)
    logits = torch.tensor([-2.0, 0.0, 1.0]).expand(20_000, 3)
    gates = straight_through_gates(logits, 1.0)
    assert torch.allclose(gates, gates.round(), atol=1e-6)
    assert torch.allclose(gates.mean(dim=0), logits[0].sigmoid(), atol=0.015)


def test_gradient_of_gates_is_that_of_the_noisy_sigmoid():
    logits = torch.tensor([[0.3, -1.2]], requires_grad=True)
    torch.manual_seed(3)
    straight_through_gates(logits, 0.7).sum().backward()
    torch.manual_seed(3)
    noise = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6).logit()
    soft = torch.sigmoid((logits.detach() + noise) / 0.7)
    assert torch.allclose(logits.grad, soft * (1 - soft) / 0.7)


def test_mean_cost_counts_the_kept_blocks_at_the_chosen_resolution():
    choice, gates = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    floor, per_unit = torch.tensor([10.0, 4.0]), torch.tensor([[3.0, 5.0], [1.0, 2.0]])
    assert mean_cost(choice, gates, floor, per_unit).item() == ((10 + 3) + (4 + 1 + 2)) / 2


def test_budget_below_both_decisions_is_refused():
    network = ResolutionAndBlocks(
        "cifar_resnet8", num_classes=3, resolutions=(32, 16), predictor="small", policy="small"
    )
    with pytest.raises(RecipeError, match=r"budget 0\.01 is out of reach: both decisions"):
        target_cost(network, 0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolutions": (16, 32)}, "resolutions must be two or more falling sides"),
        ({"budget": 0}, "budget must be a share"),
        ({"joint_epochs": 0}, "joint_epochs must be at least 1"),
        ({"penalty": -1}, "penalty must be at least 0"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"ema_decay": 1.0}, "ema_decay must be in"),
    ],
)
def test_impossible_recipe_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        ResolutionAndBlocksRecipe(**options)
