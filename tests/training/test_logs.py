import logging
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from modicum.storage.files import append_jsonl, read_jsonl
from modicum.training.logs import EpochLines, JsonLinesLogger

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


def trainer(*, is_global_zero=True):
    figures = {"train/loss": torch.tensor(1.23456), "train/loss_step": torch.tensor(9.0), "val/accuracy": 0.5}
    return SimpleNamespace(is_global_zero=is_global_zero, progress_bar_metrics=figures, current_epoch=1, max_epochs=6)


def test_an_epoch_is_one_line(caplog):
    lines = EpochLines("joint")
    with caplog.at_level(logging.INFO, "modicum"):
        lines.on_train_epoch_start(trainer(), None)
        lines.on_train_epoch_end(trainer(), None)
    assert caplog.messages == ["joint 2/6  train/loss 1.235  val/accuracy 0.5  (0 s)"]


def test_other_processes_say_nothing(caplog):
    with caplog.at_level(logging.INFO, "modicum"):
        EpochLines("joint").on_train_epoch_end(trainer(is_global_zero=False), None)
    assert caplog.messages == []
