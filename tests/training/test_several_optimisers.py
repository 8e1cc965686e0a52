"""A stage whose module steps two optimisers by hand, one of them not after every batch, as a GAN does."""

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from modicum.storage.errors import DivergedError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.training.checkpoints import count_batches, load_checkpoint
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import OptimizerOptions, Schedule, TrainerOptions
from modicum.training.stages import Loaders, Stage, fit_stage

EPOCHS, BATCHES = 3, 11  # per epoch; after every third batch the teacher learns, too
OPTIONS = TrainerOptions(accelerator="cpu", threads=1)


class Killed(Exception):  # noqa: N818  stands for a signal, not for an error
    """Ends a fit at once."""


class TeacherAlongside(LightningModule):
    """A pupil that learns from a teacher, which is trained beside it after every third batch."""

    def __init__(self, *, dies_at=None, diverges_at=None):
        super().__init__()
        self.automatic_optimization = False
        generator = torch.Generator().manual_seed(0)
        self.teacher, self.pupil = (nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)) for _ in range(2))
        for weight in self.parameters():
            weight.data = torch.rand(weight.shape, generator=generator) - 0.5
        self.dies_at, self.diverges_at, self.rates = dies_at, diverges_at, []

    def configure_optimizers(self):
        schedule = Schedule("cosine")
        sgd, adam = OptimizerOptions("sgd", 0.1), OptimizerOptions("adam", 0.01, gradient_clip=0.2)
        return [
            configure_optimizer(self, {"teacher": self.teacher.parameters()}, sgd, schedule),
            configure_optimizer(self, {"pupil": self.pupil.parameters()}, adam, schedule),
        ]

    def training_step(self, batch, index):
        if (self.current_epoch, index) == self.dies_at:
            raise Killed
        to_teacher, to_pupil = self.optimizers()
        answers = self.teacher(batch)
        if index % 3 == 0:
            self.step(to_teacher, (answers - batch[:, :2]).square().mean())
        loss = (self.pupil(batch) - answers.detach()).square().mean()
        self.step(to_pupil, loss)
        self.log("train/loss", loss)
        self.rates.append([optimizer.param_groups[0]["lr"] for optimizer in (to_teacher, to_pupil)])
        return loss * float("nan") if (self.current_epoch, index) == self.diverges_at else loss

    def step(self, optimizer, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def validation_step(self, batch, index):
        self.log("val/accuracy", -(self.pupil(batch) - batch[:, :2]).square().mean())


def batches(epoch, rank, world_size):
    generator = torch.Generator().manual_seed(epoch)
    return DataLoader(torch.randn(8 * BATCHES, 4, generator=generator), batch_size=8)


def fitted(run, *, ema_decay=None, **options):
    module = TeacherAlongside(**options)
    loaders = Loaders(batches, lambda: DataLoader(torch.ones(8, 4), batch_size=8))
    fit_stage(Stage("both", module, loaders, EPOCHS, "val/accuracy", ema_decay), run, OPTIONS, 3, finished=False)
    return module


@pytest.fixture
def new_run(tmp_path):
    """Function from a name to a fresh run folder."""

    def make(name):
        return RunFolder.create(tmp_path / name, system="test", recipe_text="", command="", versions={})

    return make


@pytest.mark.parametrize("ema_decay", [None, 0.8], ids=["plain", "averaged"])
@pytest.mark.parametrize("dies_at", [(0, 5), (1, 0), (2, 10)], ids=str)
def test_killed_stage_resumes_to_the_same_weights(new_run, dies_at, ema_decay):
    straight = fitted(new_run("straight"), ema_decay=ema_decay)
    run = new_run("killed")
    with pytest.raises(Killed):
        fitted(run, dies_at=dies_at, ema_decay=ema_decay)
    resumed = fitted(run, ema_decay=ema_decay)
    torch.testing.assert_close(resumed.state_dict(), straight.state_dict(), rtol=0, atol=0)


def test_logged_steps_are_batches_and_each_is_logged_once(new_run):
    run = new_run("killed")
    with pytest.raises(Killed):
        fitted(run, dies_at=(1, 10))
    fitted(run)
    rows = read_jsonl(run.metrics)
    assert [row["step"] for row in rows if "train/loss" in row] == [9, 19, 29]
    assert [row["step"] for row in rows if "val/accuracy" in row] == [10, 21, 32]


def test_checkpoint_tells_batches(new_run):
    run = new_run("run")
    fitted(run)
    checkpoint = load_checkpoint(run.stage("both") / "last.ckpt")
    assert count_batches(checkpoint) == EPOCHS * BATCHES
    assert checkpoint["global_step"] == EPOCHS * (BATCHES + 4)  # the steps of both, which nothing here counts by


@pytest.mark.parametrize("dies_at", [None, (1, 4)], ids=["straight", "resumed"])
def test_divergence_is_told_by_the_batch(new_run, dies_at):
    run = new_run("run")
    if dies_at:
        with pytest.raises(Killed):
            fitted(run, dies_at=dies_at)
    with pytest.raises(DivergedError, match="the loss of step 27 is nan, in epoch 3 of 3"):
        fitted(run, diverges_at=(2, 4))


def test_both_rates_follow_the_schedule_by_batches(new_run):
    teacher, pupil = torch.tensor(fitted(new_run("run")).rates).T
    expected = (1 + torch.cos(torch.pi * torch.arange(EPOCHS * BATCHES) / (EPOCHS * BATCHES))) / 2
    torch.testing.assert_close(teacher, 0.1 * expected)
    torch.testing.assert_close(pupil, 0.01 * expected)
