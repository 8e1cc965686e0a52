import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from modicum.storage.runs import RunFolder
from modicum.training.averaging import warm_decay
from modicum.training.checkpoints import load_checkpoint
from modicum.training.recipe import TrainerOptions
from modicum.training.stages import Loaders, Stage, fit_stage

EPOCHS, BATCHES, DECAY = 3, 5, 0.6
OPTIONS = TrainerOptions(accelerator="cpu", threads=1)


class Killed(Exception):  # noqa: N818  stands for a signal, not for an error
    """Ends a fit at once."""


class Walk(LightningModule):
    """A weight that Adam moves, and a constant that no average may touch."""

    def __init__(self, dies_at=None):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.register_buffer("constant", torch.tensor([0.1, 0.7]))
        self.dies_at, self.trail, self.watched = dies_at, [], []

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)

    def training_step(self, batch, index):
        if (self.current_epoch, index) == self.dies_at:
            raise Killed
        return (self.weight * batch).square().mean()

    def on_train_batch_end(self, outputs, batch, index):
        self.trail.append(self.weight.detach().clone())

    def validation_step(self, batch, index):
        self.watched.append(self.weight.detach().clone())
        self.log("val/f1", 0.0)


def batches(epoch=0, rank=0, world_size=1):
    return DataLoader(torch.randn(BATCHES, 2, generator=torch.Generator().manual_seed(epoch)), batch_size=1)


def fitted(run, dies_at=None):
    module = Walk(dies_at)
    stage = Stage("walk", module, Loaders(batches, batches), EPOCHS, "val/f1", DECAY, ema_warms_up=True)
    fit_stage(stage, run, OPTIONS, 3, finished=False)
    return module


def average_of(trail):
    average = trail[0]
    for updates, weight in enumerate(trail[1:], start=1):
        decay = warm_decay(DECAY, updates)
        average = decay * average + (1 - decay) * weight
    return average


@pytest.fixture
def new_run(tmp_path):
    return lambda name: RunFolder.create(tmp_path / name, system="test", recipe_text="", command="", versions={})


@pytest.mark.parametrize(("updates", "decay"), [(0, 0.1), (1, 2 / 11), (90, 0.91), (89_990, 0.9999), (10**6, 0.9999)])
def test_decay_rises_to_its_final_value(updates, decay):
    assert warm_decay(0.9999, updates) == pytest.approx(decay, abs=1e-6)


def test_stage_ends_with_the_average_and_watches_it_and_trains_on_the_raw_weights(new_run):
    module = fitted(new_run("run"))
    torch.testing.assert_close(module.weight.detach(), average_of(module.trail))
    torch.testing.assert_close(module.watched[0], average_of(module.trail[:BATCHES]))
    torch.testing.assert_close(module.constant, torch.tensor([0.1, 0.7]), rtol=0, atol=0)


def test_checkpoint_holds_average_and_raw_weights(new_run):
    run = new_run("run")
    module = fitted(run)
    kept = load_checkpoint(run.stage("walk") / "last.ckpt")
    torch.testing.assert_close(kept["current_model_state"]["weight"], module.trail[-1], rtol=0, atol=0)
    torch.testing.assert_close(kept["state_dict"]["weight"], module.weight.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("dies_at", [(1, 0), (1, 3), (2, 4)], ids=str)
def test_interrupted_stage_goes_on_with_both(new_run, dies_at):
    straight, run = fitted(new_run("straight")), new_run("interrupted")
    with pytest.raises(Killed):
        fitted(run, dies_at)
    again = fitted(run)
    torch.testing.assert_close(again.weight, straight.weight, rtol=0, atol=0)
    torch.testing.assert_close(again.trail[-1], straight.trail[-1], rtol=0, atol=0)
