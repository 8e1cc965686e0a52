from collections import Counter

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from modicum.datasets.loaders import derive_seed
from modicum.storage.errors import DivergedError, MissingExtraError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.training import stages
from modicum.training.checkpoints import load_checkpoint
from modicum.training.optimisers import configure_optimizer
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions
from modicum.training.stages import Loaders, Stage, fit_stage

EPOCHS = 3
BATCHES = 12  # per epoch, so that a line is logged in the middle of each
OPTIONS = TrainerOptions(accelerator="cpu", threads=1)


class Killed(Exception):  # noqa: N818  stands for a signal, not for an error
    """Ends a fit at once."""


class Noisy(LightningModule):
    """Dropout, batch statistics and momentum: everything that a careless resumption would lose."""

    def __init__(self, *, dies_at=None, best_epoch=None):
        super().__init__()
        self.best_epoch = best_epoch
        generator = torch.Generator().manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
        for weight in self.parameters():
            weight.data = torch.rand(weight.shape, generator=generator) - 0.5
        self.dies_at = dies_at
        self.trail = []

    def configure_optimizers(self):
        return configure_optimizer(self, {"all": self.parameters()}, SgdOptions(0.1).general(), Schedule())

    def training_step(self, batch, index):
        if (self.current_epoch, index) == self.dies_at:
            raise Killed
        loss = self.network(batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def on_train_batch_end(self, outputs, batch, index):
        self.trail.append(self.network[0].weight.detach().clone())

    def validation_step(self, batch, index):
        accuracy = -self.network(batch).square().mean()
        self.log("val/accuracy", accuracy if self.best_epoch is None else float(self.current_epoch == self.best_epoch))


class Asked:
    """Loaders of data that are a function of the epoch; remembers what was asked for."""

    def __init__(self):
        self.calls = []

    def train(self, epoch, rank, world_size):
        self.calls.append((epoch, rank, world_size))
        generator = torch.Generator().manual_seed(epoch)
        return DataLoader(torch.randn(8 * BATCHES, 4, generator=generator), batch_size=8)

    def validation(self):
        return DataLoader(torch.ones(8, 4), batch_size=8)


def stage_of(module, asked=None, ema_decay=None, ends_with="last"):
    asked = asked or Asked()
    loaders = Loaders(asked.train, asked.validation)
    return Stage("first", module, loaders, EPOCHS, "val/accuracy", ema_decay, ends_with)


def fitted(run, *, dies_at=None, ema_decay=None, asked=None, finished=False, ends_with="last", best_epoch=None):
    module = Noisy(dies_at=dies_at, best_epoch=best_epoch)
    fit_stage(stage_of(module, asked, ema_decay, ends_with), run, OPTIONS, 3, finished=finished)
    return module


def assert_same_weights(one, other):
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.fixture
def new_run(tmp_path):
    """Function from a name to a fresh run folder."""

    def make(name):
        return RunFolder.create(tmp_path / name, system="test", recipe_text="", command="", versions={})

    return make


@pytest.fixture(params=[None, 0.8], ids=["plain", "averaged"])
def ema_decay(request):
    return request.param


@pytest.mark.parametrize("dies_at", [(0, 5), (1, 0), (2, 11)], ids=str)
def test_interrupted_stage_ends_like_an_uninterrupted_one(new_run, ema_decay, dies_at):
    straight = fitted(new_run("straight"), ema_decay=ema_decay)
    run = new_run("interrupted")
    with pytest.raises(Killed):
        fitted(run, dies_at=dies_at, ema_decay=ema_decay)
    assert_same_weights(fitted(run, ema_decay=ema_decay), straight)


def test_kill_between_the_last_checkpoint_and_its_record_costs_nothing(new_run, ema_decay):
    run = new_run("run")
    straight = fitted(run, ema_decay=ema_decay)
    again = fitted(run, ema_decay=ema_decay)
    assert again.trail == []
    assert_same_weights(again, straight)


def test_finished_stage_is_loaded_without_its_data(new_run, ema_decay):
    run = new_run("run")
    straight, asked = fitted(run, ema_decay=ema_decay), Asked()
    again = fitted(run, ema_decay=ema_decay, asked=asked, finished=True)
    assert asked.calls == []
    assert_same_weights(again, straight)


def test_averaged_stage_ends_with_the_average_of_its_steps(new_run):
    module = fitted(new_run("run"), ema_decay=0.8)
    average = module.trail[0]
    for weight in module.trail[1:]:
        average = 0.8 * average + 0.2 * weight
    torch.testing.assert_close(module.network[0].weight, nn.Parameter(average))


def test_resumed_stage_trains_the_epochs_that_are_left(new_run):
    run, asked = new_run("run"), Asked()
    with pytest.raises(Killed):
        fitted(run, dies_at=(2, 3))
    module = fitted(run, asked=asked)
    assert asked.calls[-1] == (2, 0, 1)
    assert len(module.trail) == BATCHES


def test_resumed_stage_logs_each_step_once(new_run):
    run = new_run("run")
    with pytest.raises(Killed):
        fitted(run, dies_at=(1, 11))
    fitted(run)
    rows = read_jsonl(run.metrics)
    times = Counter((row["stage"], row["step"], "train/loss" in row) for row in rows)
    assert max(times.values()) == 1
    assert [row["step"] for row in rows if "val/accuracy" in row] == [11, 23, 35]


class Diverging(LightningModule):
    """Its loss, or its weight or statistic behind a finite loss, is no number from one step of one epoch on."""

    def __init__(self, *, at, what):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("mean", torch.zeros(4))
        self.at, self.what = at, what

    def configure_optimizers(self):
        return configure_optimizer(self, {"all": self.parameters()}, SgdOptions(0.01).general(), Schedule())

    def training_step(self, batch, index):
        self.index = index
        if self.what == "mean" and (self.current_epoch, index) == self.at:
            self.mean.fill_(float("inf"))
        loss = (self.weight * batch).square().mean()
        return loss * float("nan") if self.what == "loss" and (self.current_epoch, index) == self.at else loss

    def on_after_backward(self):
        if self.what == "weight" and (self.current_epoch, self.index) == self.at:
            self.weight.grad.fill_(float("inf"))

    def validation_step(self, batch, index):
        self.log("val/accuracy", -(self.weight * batch).square().mean())


@pytest.mark.parametrize(
    ("at", "what", "message"),
    [
        ((1, 4), "loss", "the loss of step 17 is nan, in epoch 2 of 3; .*last.ckpt keeps epoch 1; train anew with"),
        ((1, 11), "loss", "the loss of step 24 is nan, in epoch 2 of 3; .*last.ckpt keeps epoch 1"),
        ((0, 3), "loss", "stage first diverged: the loss of step 4 is nan, in epoch 1 of 3; no epoch was finished"),
    ],
    ids=str,
)
def test_loss_that_is_no_number_ends_the_fit(new_run, at, what, message):
    with pytest.raises(DivergedError, match=message):
        fit_stage(stage_of(Diverging(at=at, what=what)), new_run("run"), OPTIONS, 3, finished=False)


@pytest.mark.parametrize("what", ["weight", "mean"])
def test_state_that_is_not_finite_ends_the_fit_behind_a_finite_loss(new_run, what):
    message = f"after step 24, {what} is not finite, .* train anew with a lower learning rate for this stage"
    with pytest.raises(DivergedError, match=message):
        fit_stage(stage_of(Diverging(at=(1, 11), what=what)), new_run("run"), OPTIONS, 3, finished=False)


@pytest.mark.parametrize("what", ["loss", "weight", "mean"])
def test_diverged_fit_leaves_its_last_good_checkpoint(new_run, what):
    run = new_run("run")
    with pytest.raises(DivergedError, match="diverged"):
        fit_stage(stage_of(Diverging(at=(1, 11), what=what)), run, OPTIONS, 3, finished=False)
    checkpoint = load_checkpoint(run.stage("first") / "last.ckpt")
    assert checkpoint["epoch"] == 0
    assert checkpoint["state_dict"]["weight"].isfinite().all()


def test_stages_share_the_log(new_run):
    run = new_run("run")
    for name in ("first", "second"):
        stage = stage_of(Noisy())
        fit_stage(Stage(name, stage.module, stage.loaders, 1, "val/accuracy"), run, OPTIONS, 3, finished=False)
    assert {row["stage"] for row in read_jsonl(run.metrics)} == {"first", "second"}


def test_checkpoints_stand_where_the_run_says(new_run):
    run = new_run("run")
    fitted(run)
    assert sorted(file.name for file in run.stage("first").iterdir()) == ["best.ckpt", "last.ckpt"]


def weights_in(run, which):
    return load_checkpoint(run.stage("first") / f"{which}.ckpt")["state_dict"]


@pytest.mark.parametrize("best_epoch", [0, 1, 2])
def test_stage_can_end_with_its_best_epoch(new_run, ema_decay, best_epoch):
    run = new_run("run")
    module = fitted(run, ema_decay=ema_decay, ends_with="best", best_epoch=best_epoch)
    torch.testing.assert_close(module.state_dict(), weights_in(run, "best"), rtol=0, atol=0)
    is_last = torch.equal(module.network[0].weight, weights_in(run, "last")["network.0.weight"])
    assert is_last == (best_epoch == EPOCHS - 1)


@pytest.mark.parametrize("dies_at", [(1, 3), (2, 3)], ids=str)
def test_interrupted_stage_ends_with_the_same_best_epoch(new_run, ema_decay, dies_at):
    options = {"ema_decay": ema_decay, "ends_with": "best", "best_epoch": 1}
    straight = fitted(new_run("straight"), **options)
    run = new_run("interrupted")
    with pytest.raises(Killed):
        fitted(run, dies_at=dies_at, **options)
    assert_same_weights(fitted(run, **options), straight)


@pytest.mark.parametrize("finished", [True, False])
def test_fitted_stage_is_loaded_as_it_ended_with_its_best_epoch(new_run, finished):
    run = new_run("run")
    straight = fitted(run, ends_with="best", best_epoch=1)
    again = fitted(run, ends_with="best", best_epoch=1, finished=finished)
    assert again.trail == []
    assert_same_weights(again, straight)


def test_tensorboard_events_are_written_on_demand(new_run):
    pytest.importorskip("tensorboard")
    run = new_run("run")
    options = TrainerOptions(accelerator="cpu", threads=1, tensorboard=True)
    fit_stage(stage_of(Noisy()), run, options, 3, finished=False)
    assert list((run.tensorboard / "first").glob("events.out.*"))


def test_missing_tensorboard_names_its_extra(new_run, monkeypatch):
    def absent(*args, **kwargs):
        raise ModuleNotFoundError("no tensorboard")

    monkeypatch.setattr(stages, "TensorBoardLogger", absent)
    options = TrainerOptions(accelerator="cpu", tensorboard=True)
    with pytest.raises(MissingExtraError, match=r"tensorboard is not installed.*pip install -e '\.\[tensorboard\]'"):
        fit_stage(stage_of(Noisy()), new_run("run"), options, 3, finished=False)


def test_threads_are_set(new_run, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    fit_stage(stage_of(Noisy()), new_run("run"), TrainerOptions(accelerator="cpu", threads=2), 3, finished=False)
    assert asked == [2]


def test_derived_seeds_are_reproducible_and_differ():
    seeds = [
        derive_seed(0, "joint", 0),
        derive_seed(0, "joint", 1),
        derive_seed(1, "joint", 0),
        derive_seed(0, "joint0"),
    ]
    assert len(set(seeds)) == 4
    assert seeds[0] == derive_seed(0, "joint", 0)


def test_derived_seeds_suit_every_generator():
    seeds = [derive_seed(number) for number in range(200)]
    assert 0 <= min(seeds) <= max(seeds) < 2**63


def test_derived_seed_does_not_depend_on_the_process():
    assert derive_seed(0, "weights") == 5087778715007104936  # would differ if it hung on Python's salted hash
