import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.normalisation import LEAST_GROUP, batch_norms, statistics_of_kept_rows
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.blockdrop.stochastic_depth import BaseStage, random_depths
from modicum.classify.blockdrop.training import (
    GateStage,
    JointStage,
    PolicyStage,
    StaticStage,
    draw,
    target_cost,
)
from modicum.storage.errors import RecipeError

BLOCKS = 6


def build():
    torch.manual_seed(0)
    backbone = SmallResNet(10, widths=(4, 6, 8), blocks=2, stem_stride=2, shortcut="pool")
    network = BlockDrop(backbone, num_classes=10, image_px=16, policy="small")
    for scale in (1, 2):  # so that running statistics differ from those of a batch
        network.backbone(scale * torch.randn(16, 3, 16, 16))
    return network


def recipe_with(**options):
    return BlockDropRecipe(image_px=16, budget=0.9, **options)


STAGES = {
    "base": lambda: BaseStage(build(), recipe_with(base_drop=0.5)),
    "policy": lambda **options: PolicyStage(build(), recipe_with(**options)),
    "joint": lambda **options: JointStage(build(), recipe_with(**options)),
    "policy by gates": lambda: GateStage(build(), recipe_with(method="gates", norm="frozen"), tune_backbone=False),
    "joint by gates": lambda: GateStage(build(), recipe_with(method="gates", norm="frozen"), tune_backbone=True),
    "static": lambda **options: StaticStage(build().static(torch.arange(BLOCKS) % 2 == 0), recipe_with(**options)),
}


def at_epoch(stage, epoch, monkeypatch):
    monkeypatch.setattr(type(stage), "current_epoch", epoch)
    stage.on_train_start()
    return stage


def step(stage, batch, rate=0.01, steps=1):
    """As a Trainer would: Adam on what gets gradients."""
    optimizer = torch.optim.Adam([weight for weight in stage.parameters() if weight.requires_grad], lr=rate)
    losses = []
    for _ in range(steps):
        torch.manual_seed(3)  # the same draw each time
        loss = stage.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(network, before):
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


# --- what is drawn ---


def test_blocks_that_are_not_free_are_kept_by_both_decisions():
    free = torch.tensor([False, False, True])
    drawn = draw(torch.full((500, 3), 0.01), free, 0.8)
    assert drawn.sampled[:, :2].all()
    assert drawn.greedy[:, :2].all()
    assert not drawn.greedy[:, 2].any()
    assert 0 < drawn.sampled[:, 2].float().mean() < 0.5


def test_samples_follow_the_bounded_probabilities_and_greedy_the_plain_ones():
    torch.manual_seed(0)
    p = torch.tensor([0.0, 0.45, 0.5, 1.0])
    drawn = draw(p.expand(20_000, 4), torch.ones(4, dtype=torch.bool), 0.8)
    torch.testing.assert_close(drawn.sampled.float().mean(0), torch.tensor([0.2, 0.47, 0.5, 0.8]), rtol=0, atol=0.015)
    assert drawn.greedy[0].tolist() == [False, False, True, True]


# --- before stage 1 ---


def test_random_depths_reach_from_all_blocks_to_the_share_that_may_go():
    torch.manual_seed(0)
    kept = random_depths(4000, 1000, 0.6).float().mean(1)
    assert kept.max() == pytest.approx(1.0, abs=0.01)
    assert kept.min() == pytest.approx(0.4, abs=0.06)
    assert kept.mean() == pytest.approx(0.7, abs=0.02)


def test_base_learns_on_paths_that_drop_blocks_and_leaves_the_policy_alone(batch, logged, monkeypatch):
    stage, sizes = STAGES["base"](), []
    before = state_of(stage.network)
    for block in stage.network.blocks:
        block.block.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    step(stage, batch)
    assert len(sizes) == BLOCKS
    assert 24 * BLOCKS / 2 < sum(sizes) < 24 * BLOCKS
    assert all(name.startswith("backbone.") for name in changed(stage.network, before))


def test_base_is_watched_with_all_its_blocks(batch, logged):
    stage = STAGES["base"]().eval()
    stage.validation_step(batch, 0)
    right = stage.network.plain_network().eval()(batch.images).argmax(1) == batch.labels
    assert logged["val/accuracy"] == pytest.approx(right.float().mean().item())


# --- stage 1 ---


@pytest.mark.parametrize(("epoch", "free"), [(0, 1), (1, 1), (2, 2), (100, BLOCKS)])
def test_only_free_blocks_are_ever_dropped(batch, logged, monkeypatch, epoch, free):
    stage = at_epoch(STAGES["policy"](epochs_per_block=2), epoch, monkeypatch)
    asked = []
    run = stage.network.run
    monkeypatch.setattr(
        stage.network, "run", lambda images, keep, copies: asked.append(keep) or run(images, keep, copies=copies)
    )
    stage.training_step(batch, 0)
    (keep,) = asked
    assert keep[:, : BLOCKS - free].all()
    assert not keep[:, BLOCKS - free :].all()


def test_both_decisions_run_in_one_pass_that_shares_the_stem(batch, logged, monkeypatch):
    stage, sizes = at_epoch(STAGES["policy"](), 100, monkeypatch), []
    stage.network.backbone.conv1.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    stage.training_step(batch, 0)
    assert sizes == [24]


def test_stage_one_leaves_the_backbone_as_it_is_with_its_statistics(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["policy"](), 100, monkeypatch)
    before = state_of(stage.network)
    step(stage, batch, steps=3)
    moved = changed(stage.network, before)
    assert moved
    assert all(name.startswith("policy_network.") for name in moved)


def test_stage_one_learns_what_is_rewarded(batch, logged, monkeypatch):
    """With every answer right, the reward is for dropping alone."""
    stage = at_epoch(STAGES["policy"](entropy_weight=0.0), 100, monkeypatch)
    with torch.no_grad():
        right = stage.network.backbone.linear
        right.weight.zero_()
        right.bias.copy_(torch.arange(10) == 3)
    batch = batch._replace(labels=torch.full_like(batch.labels, 3))
    before = stage.network.eval().scores(batch.images).mean()
    stage.network.policy_network.train()
    optimizer = torch.optim.Adam(stage.network.policy_network.parameters(), lr=0.01)
    for seed in range(20):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        stage.training_step(batch, 0).backward()
        optimizer.step()
    assert stage.network.eval().scores(batch.images).mean() < before - 0.1


def test_loss_of_stage_one_by_hand(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["policy"](gamma=-3.0), 100, monkeypatch)
    torch.manual_seed(5)
    loss = stage.training_step(batch, 0)
    torch.manual_seed(5)
    s = stage.network.scores(batch.images)
    p = 0.8 * s + 0.2 * (1 - s)
    sampled, greedy = torch.rand_like(p) < p, s >= 0.5

    def earned(keep):
        right = stage.network.run(batch.images, keep, form="masked").argmax(1) == batch.labels
        return torch.where(right, 1 - keep.float().mean(1) ** 2, torch.tensor(-3.0))

    log_p = torch.where(sampled, p, 1 - p).log().sum(1)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum(1)
    torch.testing.assert_close(loss, (-(earned(sampled) - earned(greedy)) * log_p - 0.1 * entropy).mean())


# --- stage 2 ---


def norms_in_training(stage):
    return {norm.training for norm in batch_norms(stage.network.backbone)}


def test_frozen_normalisation_keeps_its_statistics_while_weights_learn(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["joint"](norm="frozen"), 0, monkeypatch)
    before = state_of(stage.network)
    step(stage, batch)
    moved = {name for name in changed(stage.network, before) if name.startswith("backbone.")}
    assert "backbone.conv1.weight" in moved
    assert not any("running_" in name for name in moved)


def test_stage_two_does_not_depend_on_the_modes_that_stage_one_left(monkeypatch):
    network = build().eval()
    stage = JointStage(network, recipe_with(norm="active"))
    assert norms_in_training(at_epoch(stage, 0, monkeypatch)) == {True}


def test_active_normalisation_measures_the_rows_that_keep_the_block():
    network = build().train()
    block = network.blocks[1]
    images, keep = torch.randn(24, 3, 16, 16), torch.ones(24, BLOCKS, dtype=torch.bool)
    keep[LEAST_GROUP:, 1] = False
    seen = []
    block.block.conv1.register_forward_hook(lambda module, args, output: seen.append(output))
    norm = block.block.bn1
    before, momentum = norm.running_mean.clone(), norm.momentum
    with statistics_of_kept_rows(network.backbone):
        network.run(images, keep)
    assert len(seen[0]) == LEAST_GROUP
    torch.testing.assert_close(norm.running_mean, (1 - momentum) * before + momentum * seen[0].mean((0, 2, 3)))


def test_groups_too_small_are_normalised_as_learnt():
    network = build().train()
    images, keep = torch.randn(24, 3, 16, 16), torch.ones(24, BLOCKS, dtype=torch.bool)
    keep[LEAST_GROUP - 1 :, 1] = False
    before = network.blocks[1].block.bn1.running_mean.clone()
    with statistics_of_kept_rows(network.backbone):
        network.run(images, keep)
    assert torch.equal(network.blocks[1].block.bn1.running_mean, before)
    assert all(norm.training for norm in batch_norms(network.backbone))


def test_greedy_pass_leaves_no_trace_in_the_statistics():
    network = build().train()
    before = state_of(network)
    with statistics_of_kept_rows(network.backbone, update=False):
        network.run(torch.randn(24, 3, 16, 16), torch.ones(24, BLOCKS, dtype=torch.bool))
    assert not any("running_" in name for name in changed(network, before))
    assert {norm.momentum for norm in batch_norms(network.backbone)} == {0.1}


def test_rewards_reach_the_policy_alone_and_cross_entropy_the_backbone_alone(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["joint"](norm="frozen"), 0, monkeypatch)
    torch.manual_seed(5)
    stage.training_step(batch, 0).backward()
    torch.manual_seed(5)
    drawn = draw(stage.network.scores(batch.images), torch.ones(BLOCKS, dtype=torch.bool), 0.8)
    logits = stage.network.run(batch.images, drawn.sampled)
    weight = stage.network.backbone.conv1.weight
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(logits, batch.labels), weight)
    torch.testing.assert_close(weight.grad, expected)
    assert all(weight.grad is not None for weight in stage.network.policy_network.parameters())


# --- the other stages ---


@pytest.mark.parametrize("name", ["base", "policy by gates", "joint by gates", "static"])
def test_a_few_steps_lower_the_loss(batch, logged, monkeypatch, name):
    losses = step(at_epoch(STAGES[name](), 0, monkeypatch), batch, rate=0.005, steps=8)
    assert losses[-1] < 0.97 * losses[0]
    assert logged["train/loss"] == pytest.approx(losses[-1])


def test_gates_with_a_frozen_backbone_change_the_policy_alone(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["policy by gates"](), 0, monkeypatch)
    before = state_of(stage.network)
    step(stage, batch)
    assert all(name.startswith("policy_network.") for name in changed(stage.network, before))


def test_gates_are_pushed_towards_the_budget(batch, logged, monkeypatch):
    recipe = BlockDropRecipe(image_px=16, budget=0.85, method="gates", norm="frozen", gate_penalty=1e4)
    stage = at_epoch(GateStage(build(), recipe, tune_backbone=False), 0, monkeypatch)
    before = stage.network.eval().scores(batch.images).mean()
    stage.network.policy_network.train()
    step(stage, batch, steps=10)
    assert stage.network.eval().scores(batch.images).mean() < before


# --- what they log ---


@pytest.mark.parametrize("name", ["policy", "joint", "joint by gates"])
def test_validation_logs_accuracy_cost_blocks_and_reward_at_the_plain_decision(batch, logged, name):
    stage = STAGES[name]().eval()
    stage.validation_step(batch, 0)
    network, gamma = stage.network, -2.0 if name == "policy" else -10.0
    routed = network.predict(batch.images)
    right = routed.outputs.argmax(1) == batch.labels
    usage = routed.routes.double().mean(1)
    assert logged == pytest.approx(
        {
            "val/accuracy": right.double().mean().item(),
            "val/cost": routed.macs.mean().item() / network.costs.plain,
            "val/blocks": routed.routes.sum(1).double().mean().item(),
            "val/reward": torch.where(right, 1 - usage**2, torch.tensor(gamma).double()).mean().item(),
        }
    )


def test_static_stage_logs_accuracy(batch, logged):
    STAGES["static"]().eval().validation_step(batch, 0)
    assert 0 <= logged["val/accuracy"] <= 1


@pytest.mark.parametrize(
    ("name", "rates"), [("policy", [1e-3]), ("joint", [1e-4, 1e-4]), ("policy by gates", [1e-3]), ("static", [1e-4])]
)
def test_published_rates_of_adam(name, rates, monkeypatch):
    stage = STAGES[name]()
    trainer = SimpleNamespace(estimated_stepping_batches=100, max_epochs=10)
    monkeypatch.setattr(type(stage), "trainer", trainer)
    optimizer = stage.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, torch.optim.Adam)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(rate, 0) for rate in rates]


# --- the budget ---


def test_target_is_what_the_budget_leaves_for_the_blocks():
    costs = build().costs
    assert target_cost(build(), 0.9) == pytest.approx(0.9 * costs.plain - costs.decision - costs.floor)


def test_budget_below_what_always_runs_is_refused():
    with pytest.raises(RecipeError, match=r"budget 0\.01 is out of reach: the policy and what always runs cost 0\.\d+"):
        target_cost(build(), 0.01)


def test_network_of_a_stage_can_be_copied_after_a_step(batch, logged, monkeypatch):
    stage = at_epoch(STAGES["joint"](), 0, monkeypatch)
    step(stage, batch)
    copied = copy.deepcopy(stage.network).eval()
    torch.testing.assert_close(copied(batch.images), stage.network.eval()(batch.images))


TAUGHT = {
    "base": lambda recipe, teacher: BaseStage(build(), recipe, teacher),
    "joint": lambda recipe, teacher: JointStage(build(), replace(recipe, method="reinforce"), teacher),
    "joint by gates": lambda recipe, teacher: GateStage(build(), recipe, tune_backbone=True, teacher=teacher),
    "static": lambda recipe, teacher: StaticStage(build().plain_network(), recipe, teacher),
}


@pytest.mark.parametrize("name", list(TAUGHT))
def test_stage_with_a_teacher_follows_its_answers_and_leaves_it_alone(name, batch, logged, monkeypatch):
    recipe = recipe_with(method="gates", norm="frozen", base_drop=0.5, weights="given.safetensors", distillation=1.0)
    teacher = build().plain_network()
    nn.init.normal_(list(teacher.parameters())[-1], generator=torch.Generator().manual_seed(5))  # knows better
    before = state_of(teacher)
    losses = []
    for weight in (0.0, 1.0):
        stage = at_epoch(TAUGHT[name](replace(recipe, distillation=weight), teacher), 0, monkeypatch)
        losses.append(step(stage, batch)[0])
    assert losses[1] > losses[0]  # the distance from another network's answers is positive
    assert not changed(teacher, before)
