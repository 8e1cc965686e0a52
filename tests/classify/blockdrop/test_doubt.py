from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.doubt import (
    DecidedStage,
    DoubtStage,
    NestedStage,
    doubts_of,
    settle,
    tie,
)
from modicum.classify.blockdrop.nested import nested_paths
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.recipe import BlockDropRecipe, DoubtOptions

RECIPE = BlockDropRecipe(image_px=16, budget=0.9, method="doubt", norm="frozen", doubt=DoubtOptions(least=0.5))


def build(policy="small"):
    torch.manual_seed(0)
    backbone = SmallResNet(10, widths=(4, 6, 8), blocks=2, stem_stride=2, shortcut="pool")
    network = BlockDrop(backbone, num_classes=10, image_px=16, policy=policy)
    network.backbone(2 * torch.randn(16, 3, 16, 16))  # so that running statistics differ from those of a batch
    return network


@pytest.fixture(scope="module")
def classifying():
    return build("classifier").eval()


def step(stage, batch, steps=1):
    """As a Trainer would: Adam on what gets gradients."""
    stage.on_train_start()
    optimizer = torch.optim.Adam([weight for weight in stage.parameters() if weight.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        torch.manual_seed(3)  # the same draw each time
        loss = stage.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def changed(network, before):
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def ran(monkeypatch):
    """The keep-vectors of each run."""
    kept = []
    run = BlockDrop.run

    def watched(network, images, routes, **options):
        kept.append(routes)
        return run(network, images, routes, **options)

    monkeypatch.setattr(BlockDrop, "run", watched)
    return kept


@pytest.mark.parametrize("kind", [NestedStage, DecidedStage])
def test_backbone_learns_and_policy_and_statistics_stay(kind, batch, logged):
    network = build()
    before = state_of(network)
    step(kind(network, RECIPE), batch)
    names = changed(network, before)
    assert names
    assert all(name.startswith("backbone.") and "running" not in name for name in names)


def test_backbone_is_tuned_on_nested_paths_alone(batch, logged, ran):
    stage = NestedStage(build(), RECIPE)
    step(stage, batch, steps=1)
    paths = {tuple(row) for row in stage.paths.tolist()}
    assert {tuple(row) for row in ran[0].tolist()} <= paths
    assert len(ran[0].unique(dim=0)) > 1


def test_nested_stage_is_watched_in_full_and_on_the_shortest_path(batch, logged, ran):
    stage = NestedStage(build(), RECIPE).eval()
    stage.validation_step(batch, 0)
    assert [int(routes[0].sum()) for routes in ran] == [6, 3]
    assert logged.keys() == {"val/accuracy", "val/accuracy_of_least"}


def test_policy_learns_and_backbone_stays(batch, logged):
    network = build()
    before = state_of(network)
    step(DoubtStage(network, RECIPE), batch)
    names = changed(network, before)
    assert names
    assert all(name.startswith("policy_network.") for name in names)


def test_loss_of_the_policy_by_hand(batch, logged, ran):
    stage = DoubtStage(build(), RECIPE)
    stage.on_train_start()
    torch.manual_seed(3)
    loss = stage.training_step(batch, 0)
    keep = stage.paths
    with torch.no_grad():
        p = torch.sigmoid(stage.network.policy_network(batch.images))
        expected = []
        for n, route in enumerate(ran[0]):
            depth = 6 - int(route.sum())
            assert torch.equal(route, keep[depth])
            answer = stage.network.run(batch.images[n : n + 1], route[None])[0].softmax(dim=0)
            (dropped,) = torch.nonzero(keep[depth - 1] & ~keep[depth])[:, 0]
            expected.append(F.binary_cross_entropy(p[n, dropped], 1 - answer[batch.labels[n]]))
        always = -p[:, keep[-1]].log().mean()
    torch.testing.assert_close(loss, torch.stack(expected).mean() + always)


def test_policy_comes_to_keep_what_no_path_drops_and_to_know_the_doubts(batch, logged):
    stage = DoubtStage(build(), RECIPE)
    losses = step(stage, batch, steps=60)
    assert losses[-1] < 0.8 * losses[0]
    assert stage.network.scores(batch.images)[:, stage.paths[-1]].min() > 0.7


def test_stage_two_runs_what_the_policy_decides(batch, logged, ran):
    stage = DecidedStage(build(), RECIPE)
    stage.on_train_start()
    stage.training_step(batch, 0)
    with torch.no_grad():
        scores = stage.network.scores(batch.images)
    assert torch.equal(ran[0], scores >= 0.5)


def test_doubt_is_the_probability_of_the_wrong_classes():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]]).log()
    torch.testing.assert_close(doubts_of(logits, torch.tensor([0, 2])), torch.tensor([0.3, 0.6]))


@pytest.mark.parametrize("budget", [0.88, 0.95])
def test_settled_policy_spends_the_budget_at_its_plain_decision(budget):
    network = build().eval()
    images = torch.randn(400, 3, 16, 16)
    with torch.no_grad():
        nn.init.normal_(network.policy_network[-1].linear.weight, std=3)  # so that images differ
        before = network.policy_network(images)
        settle(network, network.scores(images), budget)
        after = network.policy_network(images)
        spent = float(network.predict(images).macs.double().mean())
    shift = after - before
    torch.testing.assert_close(shift, shift[:1, :1].expand_as(shift), atol=1e-4, rtol=0)
    assert spent / network.costs.plain == pytest.approx(budget, abs=0.01)


def test_blocks_that_go_at_once_are_taught_together_and_decided_alike(batch, logged):
    recipe = replace(RECIPE, doubt=DoubtOptions(least=0.5, depths=2))
    network = build()
    stage = DoubtStage(network, recipe)
    step(stage, batch, steps=5)
    network.eval()
    tie(network, stage.paths)
    scores = network.scores(batch.images)
    together = ~stage.paths[-1]
    assert together.sum() == 3
    torch.testing.assert_close(scores[:, together], scores[:, together][:, :1].expand(-1, 3), rtol=0, atol=1e-6)
    assert scores[:, together].std(dim=0).min() > 0


def test_of_a_classifying_policy_the_classifier_stays_and_the_doubt_learns(batch, logged):
    network = build("classifier")
    nn.init.constant_(network.policy_network.bias, 2)
    before = state_of(network)
    stage = DoubtStage(network, RECIPE)
    losses = step(stage, batch, steps=60)
    assert changed(network, before) == {"policy_network.slope", "policy_network.bias"}
    assert losses[-1] < 0.9 * losses[0]
    assert network.scores(batch.images)[:, stage.paths[-1]].min() == 1


@given(slope=st.floats(-1, 2), biases=st.lists(st.floats(-3, 3), min_size=6, max_size=6), knob=st.floats(-0.5, 0.5))
def test_tied_classifying_policy_takes_nested_paths_alone_at_any_knob(classifying, slope, biases, knob):
    paths = nested_paths(classifying, 0.5)
    with torch.no_grad():
        classifying.policy_network.slope.fill_(slope)
        classifying.policy_network.bias.copy_(torch.tensor(biases))
        tie(classifying, paths)
        scores = classifying.scores(torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    routes = {tuple(row) for row in classifying.policy.decide(scores, knob).tolist()}
    assert routes <= {tuple(row) for row in paths.tolist()}
