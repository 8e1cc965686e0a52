import pytest
import torch
import torch.nn.functional as F
from torchmetrics import MeanMetric

from modicum.classify.data.loading import Batch
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure
from modicum.classify.ranet.training import WATCHED_KNOB, ExitsStage, loss_over_exits
from modicum.training.recipe import Schedule, SgdOptions

TINY = Structure(
    scales=(1, 2),
    growth_factors=(2, 1),
    bottleneck_factors=(2, 1),
    base_channels=8,
    growth=4,
    first_blocks=1,
    block_step=1,
    layers=2,
)


@pytest.fixture
def stage():
    torch.manual_seed(0)
    return ExitsStage(RANet(TINY, num_classes=10, image_px=16), SgdOptions(0.1).general(), Schedule())


@pytest.fixture
def batch():
    images = torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.arange(24) % 10, torch.arange(24))


@pytest.fixture
def logged(monkeypatch):
    """What modules log, without a Trainer: figures by name."""
    figures = {}

    def log(module, name, value, **options):
        figures[name] = (value.compute() if isinstance(value, MeanMetric) else value).item()

    monkeypatch.setattr("lightning.pytorch.LightningModule.log", log)
    return figures


def test_loss_is_the_plain_loss_over_exits():
    logits, labels = torch.randn(5, 3, 4), torch.tensor([0, 1, 2, 3, 0])
    expected = sum(F.cross_entropy(logits[:, index], labels) for index in range(3))
    torch.testing.assert_close(loss_over_exits(logits, labels), expected)
    torch.testing.assert_close(loss_over_exits(logits, labels, "mean"), expected / logits.shape[1])


def test_a_few_steps_lower_the_loss(stage, batch, logged):
    optimizer = torch.optim.SGD(stage.train().parameters(), lr=0.02)
    first = stage.training_step(batch, 0).item()
    for _ in range(4):
        optimizer.zero_grad()
        stage.training_step(batch, 0).backward()
        optimizer.step()
    last = stage.training_step(batch, 0).item()
    assert last < 0.97 * first
    assert logged["train/loss"] == pytest.approx(last)


def test_every_weight_gets_a_gradient(stage, batch, logged):
    stage.train().training_step(batch, 0).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in stage.parameters())


def test_validation_logs_each_exit_and_the_last_as_the_accuracy(stage, batch, logged):
    stage.eval().validation_step(batch, 0)
    hits = stage.network.every_exit(batch.images).argmax(2) == batch.labels[:, None]
    accuracies = hits.float().mean(0).tolist()
    assert [logged["val/accuracy_exit1"], logged["val/accuracy"]] == pytest.approx(accuracies)


def test_validation_logs_what_a_routed_pass_gives(stage, batch, logged):
    with torch.no_grad():
        stage.network.segments[0].head[-1].weight.mul_(100)  # so that some are sure enough to leave, and some are not
    stage.eval().validation_step(batch, 0)
    network = stage.network
    routes = network.policy.decide(network.scores(batch.images), WATCHED_KNOB)
    accuracy = (network.run(batch.images, routes).argmax(1) == batch.labels).float().mean().item()
    assert 0 < routes.float().mean() < 1
    assert logged["val/accuracy_routed"] == pytest.approx(accuracy)
    assert logged["val/cost"] == pytest.approx((network.costs.of(routes).mean() / network.costs.plain).item())
