import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torchmetrics import MeanMetric

from modicum.classify.backbones import create_backbone
from modicum.classify.data.loading import Batch
from modicum.classify.drnet.normalisation import ResolutionNorm
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.drnet.training import (
    JointStage,
    MultiResolutionStage,
    WarmStartStage,
    batch_norms,
    reestimate_statistics,
    run_selected,
    running_statistics,
    target_cost,
)
from modicum.classify.plain import PlainStage
from modicum.storage.errors import RecipeError
from modicum.training.recipe import Schedule, SgdOptions

OPTIONS = (SgdOptions(0.1).general(), Schedule())


def recipe_with(**options):
    return DRNetRecipe(resolutions=(32, 24, 16), budget=0.7, **options)


def one_hot(routes):
    return F.one_hot(torch.as_tensor(routes), 3).float()


def statistics_of(network, route=None):
    """The buffers of every normalisation, by name, or of one resolution's."""
    part = "" if route is None else f".per_resolution.{route}."
    return {name: value.clone() for name, value in network.backbone.named_buffers() if part in name}


def assert_unchanged(now, before):
    torch.testing.assert_close(now, before, rtol=0, atol=0)


@pytest.fixture
def batch(images):
    return Batch(images, torch.arange(24) % 10, torch.arange(24))


@pytest.fixture
def logged(monkeypatch):
    """What modules log, without a Trainer: figures by name."""
    figures = {}

    def log(module, name, value, **options):
        figures[name] = (value.compute() if isinstance(value, MeanMetric) else value).item()

    monkeypatch.setattr("lightning.pytorch.LightningModule.log", log)
    return figures


# --- every stage learns ---


def stages(build):
    targets = torch.arange(24) % 3
    return {
        "multi-resolution": lambda: MultiResolutionStage(build(), *OPTIONS),
        "distilled": lambda: MultiResolutionStage(build(), *OPTIONS, distillation=0.5),
        "warm start": lambda: WarmStartStage(build(), targets, *OPTIONS),
        "joint": lambda: JointStage(build(), recipe_with()),
        "joint, selected": lambda: JointStage(build(), recipe_with(routing_gradient="selected")),
        "plain": lambda: PlainStage(create_backbone("digit_resnet", 10), *OPTIONS),
    }


def loss_of(stage, batch):
    torch.manual_seed(3)  # the same Gumbel noise each time
    return stage.training_step(batch, 0)


@pytest.mark.parametrize("name", stages(None))
def test_a_few_steps_lower_the_loss(build, batch, logged, name):
    stage = stages(build)[name]().train()
    optimizer = torch.optim.SGD([weight for weight in stage.parameters() if weight.requires_grad], lr=0.02)
    first = loss_of(stage, batch).item()
    for _ in range(4):
        optimizer.zero_grad()
        loss_of(stage, batch).backward()
        optimizer.step()
    assert loss_of(stage, batch).item() < 0.97 * first
    assert logged["train/loss"] == pytest.approx(loss_of(stage, batch).item())


@pytest.mark.parametrize(("name", "trained"), [("multi-resolution", "backbone"), ("warm start", "predictor")])
def test_only_one_part_gets_gradients_before_the_joint_stage(build, batch, logged, name, trained):
    stage = stages(build)[name]().train()
    loss_of(stage, batch).backward()
    with_gradient = {path.split(".")[1] for path, weight in stage.named_parameters() if weight.grad is not None}
    assert with_gradient == {trained}
    assert all(weight.grad is not None for weight in getattr(stage.network, trained).parameters())


def test_joint_stage_trains_everything(build, batch, logged):
    network = build()
    MultiResolutionStage(network, *OPTIONS)
    stage = JointStage(network, recipe_with()).train()
    loss_of(stage, batch).backward()
    assert all(weight.grad is not None for weight in stage.parameters())


# --- what they log ---


def test_multi_resolution_stage_logs_each_resolution_and_their_mean(build, batch, logged):
    stage = MultiResolutionStage(build(), *OPTIONS).eval()
    stage.validation_step(batch, 0)
    hits = stage.network.every_resolution(batch.images).argmax(2) == batch.labels[:, None]
    expected = dict(
        zip([f"val/accuracy_{side}px" for side in (32, 24, 16)], hits.float().mean(0).tolist(), strict=True)
    )
    assert logged == pytest.approx({**expected, "val/accuracy": hits.float().mean().item()})


def test_joint_stage_logs_accuracy_cost_and_shares(build, batch, logged):
    stage = JointStage(build(), recipe_with()).eval()
    stage.validation_step(batch, 0)
    routed = stage.network.predict(batch.images)
    expected = {
        "val/accuracy": (routed.outputs.argmax(1) == batch.labels).float().mean().item(),
        "val/cost": routed.macs.mean().item() / stage.network.costs.plain,
    }
    shares = {f"val/share_{side}px": (routed.routes == r).float().mean().item() for r, side in enumerate((32, 24, 16))}
    assert logged == pytest.approx(expected | shares)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["warm start", "plain"])
def test_other_stages_log_accuracy(build, batch, logged, name):
    stages(build)[name]().eval().validation_step(batch, 0)
    assert 0 <= logged["val/accuracy"] <= 1


def attached(monkeypatch, stage, shares, *, is_global_zero=True):
    trainer = SimpleNamespace(
        is_global_zero=is_global_zero,
        callback_metrics={f"val/share_{side}px": torch.tensor(share) for side, share in shares.items()},
    )
    monkeypatch.setattr(type(stage), "trainer", trainer)
    return stage


def test_collapse_is_said(build, monkeypatch, caplog):
    stage = attached(monkeypatch, JointStage(build(), recipe_with()), {32: 0.0, 24: 0.04, 16: 0.96})
    stage.on_validation_epoch_end()
    assert "routing has collapsed: 96.0 % of the validation images go to 16 px; raise the budget" in caplog.text


@pytest.mark.parametrize(
    ("shares", "is_global_zero"), [({32: 0.3, 24: 0.4, 16: 0.3}, True), ({32: 1.0, 24: 0.0, 16: 0.0}, False)]
)
def test_no_collapse_or_another_process_says_nothing(build, monkeypatch, caplog, shares, is_global_zero):
    stage = attached(monkeypatch, JointStage(build(), recipe_with()), shares, is_global_zero=is_global_zero)
    stage.on_validation_epoch_end()
    assert caplog.text == ""


# --- the budget ---


def test_target_is_what_the_budget_leaves_after_the_predictor(build):
    costs = build().costs
    assert target_cost(build(), 0.7) == pytest.approx(0.7 * costs.plain - costs.decision)


def test_budget_below_the_cheapest_route_is_refused(build):
    costs = build().costs
    least = (costs.decision + costs.per_route[-1]) / costs.plain
    with pytest.raises(RecipeError, match=rf"budget 0\.1 is out of reach.* cost {least:.3f} of the plain network"):
        target_cost(build(), 0.1)


def test_least_possible_budget_is_accepted(build):
    costs = build().costs
    assert target_cost(build(), (costs.decision + costs.per_route[-1]) / costs.plain) >= costs.per_route[-1]


# --- the gradient of the chosen resolution only ---


def sizes_run(network):
    """Notes how many images the backbone runs at which side."""
    seen = []
    network.backbone.register_forward_pre_hook(lambda module, args: seen.append((args[0].shape[2], len(args[0]))))
    return seen


def test_selected_runs_the_chosen_resolutions_only(build, images):
    network = build().train()
    seen = sizes_run(network)
    run_selected(network, images, one_hot([0] * 10 + [2] * 14))
    assert seen == [(32, 10), (16, 14)]


def test_selected_stage_runs_each_image_once(build, batch, logged):
    stage = JointStage(build(), recipe_with(routing_gradient="selected")).train()
    seen = sizes_run(stage.network)
    stage.training_step(batch, 0)
    assert sum(count for _, count in seen) == 24


def test_selected_equals_the_masked_sum(build, images, routes):
    network, choice = build(), one_hot(routes)
    masked = (choice[:, :, None] * network.every_resolution(images)).sum(1)
    torch.testing.assert_close(run_selected(network, images, choice), masked, rtol=0, atol=1e-5)


def test_selected_gives_the_choice_a_gradient_where_it_ran(build, images, routes):
    choice = one_hot(routes).requires_grad_()
    run_selected(build(), images, choice).sum().backward()
    assert torch.equal(choice.grad != 0, choice.detach() == 1)


def test_small_groups_use_running_statistics(build, images):
    network = build()
    before, expected = statistics_of(network, 1), network.at_resolution(images[:7], 1)
    network.train()
    logits = run_selected(network, images, one_hot([1] * 7 + [0] * 17))
    torch.testing.assert_close(logits[:7], expected, rtol=0, atol=1e-5)
    assert_unchanged(statistics_of(network, 1), before)


def test_groups_of_eight_use_their_own_statistics(build, images):
    network = build().train()
    before = statistics_of(network, 1)
    run_selected(network, images, one_hot([1] * 8 + [0] * 16))
    moved = [not torch.equal(now, before[name]) for name, now in statistics_of(network, 1).items()]
    assert all(moved)


def test_modes_return_after_running_statistics(build):
    network = build().train()
    with running_statistics(network.backbone, 1):
        modes = [norm.training for norm in batch_norms(network.backbone)]
    assert not all(modes)
    assert all(norm.training for norm in batch_norms(network.backbone))


# --- statistics of routed images ---


def stem_inputs(network, images, route):
    """What the first normalisation gets; nothing before it depends on statistics."""
    return network.backbone.conv1(network.resize[route](images))


def test_statistics_are_those_of_the_routed_images(build, images):
    network = build()
    routes = network.policy.decide(network.scores(images), 0.0)
    expected = [stem_inputs(network, images[routes == route], route) for route in range(3)]
    reestimate_statistics(network, images.split(5), batch_size=24)
    chosen = [route for route in range(3) if (routes == route).sum() >= 8]
    assert len(chosen) >= 2
    for route in chosen:
        norm = network.backbone.bn1.per_resolution[route]
        torch.testing.assert_close(norm.running_mean, expected[route].mean((0, 2, 3)))
        torch.testing.assert_close(norm.running_var, expected[route].var((0, 2, 3)))


def test_statistics_of_several_batches_are_their_average(build, images, always):
    network = always(build(), 1)
    parts = [stem_inputs(network, part, 1) for part in images.split(12)]
    reestimate_statistics(network, images.split(4), batch_size=12)
    norm = network.backbone.bn1.per_resolution[1]
    torch.testing.assert_close(norm.running_mean, torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0))


def test_small_rest_does_not_count_beside_full_batches(build, images, always):
    network, same = always(build(), 1), always(build(), 1)
    reestimate_statistics(network, images.split(4), batch_size=20)
    reestimate_statistics(same, images[:20].split(4), batch_size=20)
    assert_unchanged(statistics_of(network), statistics_of(same))


def test_routes_without_images_keep_their_statistics(build, images, always):
    network = always(build(), 1)
    before = [statistics_of(network, route) for route in range(3)]
    reestimate_statistics(network, images.split(5), batch_size=24)
    assert_unchanged(statistics_of(network, 0), before[0])
    assert_unchanged(statistics_of(network, 2), before[2])
    assert not torch.equal(network.backbone.bn1.per_resolution[1].running_mean, next(iter(before[1].values())))


def test_route_with_too_few_images_keeps_its_statistics(build, images, always):
    network = always(build(), 1)
    before = statistics_of(network, 1)
    reestimate_statistics(network, [images[:7]], batch_size=24)
    assert_unchanged(statistics_of(network, 1), before)


def test_weights_and_momentum_stay_and_the_mode_is_evaluation(build, images):
    network = build().train()
    before = copy.deepcopy(dict(network.named_parameters()))
    reestimate_statistics(network, [images], batch_size=24)
    assert_unchanged(dict(network.named_parameters()), before)
    assert not any(module.training for module in network.modules())
    norms = [
        norm for module in network.modules() if isinstance(module, ResolutionNorm) for norm in module.per_resolution
    ]
    assert {norm.momentum for norm in norms} == {0.1}
