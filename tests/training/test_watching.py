import logging
from types import SimpleNamespace

import pytest
import torch

from modicum.training.watching import RisingLoss


def watch(epochs, watcher=None):
    """Gives epochs of losses to a watcher, as Lightning would; returns the watcher."""
    watcher = watcher or RisingLoss("joint")
    for epoch, losses in enumerate(epochs):
        for step, loss in enumerate(losses):
            trainer = SimpleNamespace(
                is_last_batch=step == len(losses) - 1, is_global_zero=True, current_epoch=epoch, max_epochs=20
            )
            watcher.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, step)
    return watcher


def test_loss_above_its_start_is_told_once(caplog):
    watch([[5.0, 5.2], [9.0, 11.0], [15.0, 15.0]])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "stage joint gets worse: its loss was 5.1 at the start and is 10 in epoch 2 of 20" in caplog.text
    assert "lower learning rate" in caplog.text


@pytest.mark.parametrize(
    "epochs",
    [[[2.0, 1.5], [1.2, 1.0]], [[0.05, 0.05], [0.2, 0.2], [0.01, 0.01]], [[5.0, 5.0], [6.0, 6.0], [3.0, 3.0]]],
    ids=["falls", "starts near zero", "rises a little in the warm-up"],
)
def test_ordinary_loss_is_no_reason_for_a_word(epochs, caplog):
    watch(epochs)
    assert not caplog.records


def test_resumed_stage_compares_with_its_first_start(caplog):
    before = watch([[5.0, 5.0]])
    resumed = RisingLoss("joint")
    resumed.load_state_dict(before.state_dict())
    watch([[15.0, 15.0]], resumed)
    assert "its loss was 5 at the start and is 15" in caplog.text
