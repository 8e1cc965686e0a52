import logging
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from modicum.storage.files import append_jsonl, read_jsonl
from modicum.training.logs import EpochLines, JsonLinesLogger
from modicum.training.progress import StagePlan

ROWS = [
    {"stage": "first", "step": 9, "loss": 2.0},
    {"stage": "first", "step": 19, "loss": 1.5},
    {"stage": "second", "step": 9, "loss": 1.0},
    {"stage": "second", "step": 19, "loss": 0.5},
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def write_rows(path):
    for row in ROWS:
        append_jsonl(path, row)


def test_figures_are_appended_with_stage_and_step(path):
    JsonLinesLogger(path, "first", step=0).log_metrics({"loss": 2.0}, step=9)
    JsonLinesLogger(path, "second", step=0).log_metrics({"loss": 1.0}, step=3)
    assert read_jsonl(path) == [{"stage": "first", "step": 9, "loss": 2.0}, {"stage": "second", "step": 3, "loss": 1.0}]


def test_lines_of_a_killed_run_after_its_checkpoint_are_dropped(path):
    write_rows(path)
    JsonLinesLogger(path, "second", step=10)
    assert read_jsonl(path) == ROWS[:3]


def test_step_of_the_checkpoint_itself_is_dropped_because_it_comes_again(path):
    write_rows(path)
    JsonLinesLogger(path, "second", step=19)
    assert read_jsonl(path) == ROWS[:3]


def test_half_a_line_that_a_kill_left_is_dropped(path):
    write_rows(path)
    with path.open("a") as file:
        file.write('{"stage": "second", "st')
    JsonLinesLogger(path, "second", step=20).log_metrics({"loss": 0.4}, step=29)
    assert read_jsonl(path) == [*ROWS, {"stage": "second", "step": 29, "loss": 0.4}]


def test_nothing_is_written_before_the_first_figure(path):
    JsonLinesLogger(path, "first", step=0)
    assert not path.exists()


def test_only_the_first_process_writes(path, monkeypatch):
    write_rows(path)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    JsonLinesLogger(path, "second", step=0).log_metrics({"loss": 0.4}, step=29)
    assert read_jsonl(path) == ROWS


def trainer(*, epoch=0, is_last_batch=False):
    figures = {"train/loss": torch.tensor(1.23456), "train/loss_step": torch.tensor(9.0), "val/accuracy": 0.5}
    return SimpleNamespace(
        progress_bar_metrics=figures,
        current_epoch=epoch,
        max_epochs=6,
        num_training_batches=10,
        is_last_batch=is_last_batch,
    )


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


PLAN = StagePlan({"first": 2, "joint": 6, "plain": 4})


def told_lines(caplog, seconds_per_step, epochs=range(6), **options):
    """The lines of epochs of ten steps each."""
    clock = Clock()
    lines = EpochLines("joint", PLAN, clock)
    with caplog.at_level(logging.INFO, "modicum"):
        lines.on_train_start(trainer(epoch=epochs[0]), None)
        for epoch in epochs:
            lines.on_train_epoch_start(trainer(epoch=epoch), None)
            for step in range(10):
                clock.now += seconds_per_step
                lines.on_train_batch_end(trainer(epoch=epoch, is_last_batch=step == 9), None, None, None, step)
            lines.on_train_epoch_end(trainer(epoch=epoch), None)
    return caplog.messages


def test_stage_is_told_with_its_place_and_length_before_it_begins(caplog):
    assert told_lines(caplog, 1)[0] == "stage 2 of 3: joint, 6 epochs"


def test_stage_that_goes_on_says_where(caplog):
    assert told_lines(caplog, 1, epochs=range(3, 6))[0] == "stage 2 of 3: joint, 6 epochs, from epoch 4"


def test_epoch_is_one_line_with_the_time_that_all_later_epochs_take(caplog):
    told = "stage 2 of 3: joint 2/6  train/loss 1.235  val/accuracy 0.5  (20 s, about 3 min left)"
    assert told_lines(caplog, 2)[2] == told


def test_time_left_is_that_of_this_process_alone_after_a_resumption(caplog):
    assert "(20 s, about 2 min left)" in told_lines(caplog, 2, epochs=range(4, 6))[-2]


def test_long_epochs_tell_of_themselves_every_minute(caplog):
    lines = told_lines(caplog, 40, epochs=[0])
    assert lines[1] == "stage 2 of 3: joint 1/6  step 2 of 10  (about 1 h left)"
    assert len(lines) == 1 + 4 + 1


def test_short_epochs_do_not_flood(caplog):
    assert len(told_lines(caplog, 0.001)) == 3  # the stage, its first and its last epoch


def test_other_processes_say_nothing(caplog, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert told_lines(caplog, 2) == []
