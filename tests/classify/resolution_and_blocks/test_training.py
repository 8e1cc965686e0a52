import pytest
import torch

from modicum.classify.data.loading import Batch
from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.classify.resolution_and_blocks.training import TwoDecisionsStage, mean_cost, target_cost
from modicum.storage.errors import RecipeError


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


# --- one step ---


@pytest.fixture
def logged(monkeypatch):
    """What the stage logs, without a Trainer: figures by name."""
    figures = {}
    monkeypatch.setattr(
        "lightning.pytorch.LightningModule.log", lambda module, name, value, **options: figures.update({name: value})
    )
    return figures


def make_stage(**options):
    torch.manual_seed(0)
    network = ResolutionAndBlocks(
        "cifar_resnet8", num_classes=3, resolutions=(32, 16), predictor="small", policy="small"
    )
    return TwoDecisionsStage(network, ResolutionAndBlocksRecipe(resolutions=(32, 16), **options)).train()


def step(stage, target=None):
    """The loss of one batch, with draws that are the same each time, towards a target cost if one is given."""
    if target is not None:
        stage.target = target
    torch.manual_seed(1)
    batch = Batch(torch.randn(8, 3, 32, 32), torch.arange(8) % 3, torch.arange(8))
    return stage.training_step(batch, 0)


def test_a_step_gives_gradients_to_backbone_predictor_and_policy(logged):
    stage = make_stage(budget=0.5)
    step(stage).backward()
    network = stage.network
    for part in (network.drnet.backbone, network.drnet.predictor, network.policy_network):
        assert sum(weight.grad.abs().sum().item() for weight in part.parameters() if weight.grad is not None) > 0


def test_penalty_reaches_both_decisions(logged):
    stage = make_stage(budget=0.5)
    deciding = [list(part.parameters())[-1] for part in (stage.network.drnet.predictor, stage.network.policy_network)]
    with_penalty = torch.autograd.grad(step(stage, target=1.0), deciding)
    without = torch.autograd.grad(step(stage, target=1e30), deciding)
    assert all(not torch.allclose(one, other) for one, other in zip(with_penalty, without, strict=True))


def test_penalty_is_the_excess_over_a_tiny_target_and_none_below_a_huge_one(logged):
    stage = make_stage()
    costs = stage.network.costs.per_resolution
    least, most = min(each.floor for each in costs), max(each.plain for each in costs)
    unpunished, target = step(stage, target=1e30), least / 1000
    assert step(stage, target=most) == unpunished
    assert least / target - 1 <= (step(stage, target=target) - unpunished).item() <= most / target - 1
