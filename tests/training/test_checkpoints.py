import pickle
from pathlib import Path

import pytest
import torch

from modicum.storage.errors import RunError
from modicum.storage.zip_seals import seal_zip
from modicum.training.checkpoints import AtomicCheckpointIO, load_checkpoint

CHECKPOINT = {"state_dict": {"weight": torch.arange(6.0).view(2, 3)}, "epoch": 3, "callbacks": {}}


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stages" / "last.ckpt"


def test_what_was_saved_is_read(path):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    torch.testing.assert_close(AtomicCheckpointIO().load_checkpoint(path), CHECKPOINT, rtol=0, atol=0)


def test_saving_leaves_nothing_beside_the_file(path):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_old_checkpoint_stays_whole_when_writing_fails_half_way(path):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    before = path.read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        AtomicCheckpointIO().save_checkpoint({"state_dict": CHECKPOINT, "hook": lambda: None}, path)
    assert path.read_bytes() == before


def test_leftover_of_a_kill_does_not_stop_the_next_save(path):
    path.parent.mkdir()
    path.with_name("last.ckpt.part").write_bytes(b"half a check")
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    assert load_checkpoint(path)["epoch"] == 3


@pytest.mark.parametrize("asked", [None, False, True])
def test_checkpoint_that_would_run_code_is_refused(path, tmp_path, asked):
    path.parent.mkdir()
    torch.save({"state_dict": Malicious(tmp_path / "executed")}, path)
    seal_zip(path)
    with pytest.raises(
        RunError, match=r"last.ckpt cannot be read \(UnpicklingError\): put a copy back, or remove"
    ) as told:
        AtomicCheckpointIO().load_checkpoint(path, weights_only=asked)
    assert "weights_only" not in str(told.value)
    assert not (tmp_path / "executed").exists()


def test_removing_is_idempotent(path):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    AtomicCheckpointIO().remove_checkpoint(path)
    AtomicCheckpointIO().remove_checkpoint(path)
    assert not path.exists()


@pytest.mark.parametrize("place", [0, 40, 200, -300, -30, -1])
def test_changed_checkpoint_is_named(path, place):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"last\.ckpt (is not as it was written|is damaged).*remove the folder .*stages"):
        load_checkpoint(path)


@pytest.mark.parametrize("length", [0, 1, 21, 200, -1])
def test_truncated_checkpoint_is_named(path, length):
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match=r"last\.ckpt is damaged \(it does not end with its digest\)"):
        load_checkpoint(path)


def test_checkpoint_without_digest_is_refused_with_the_command_that_adds_one(path):
    path.parent.mkdir()
    torch.save(CHECKPOINT, path)
    with pytest.raises(RunError, match=r"last\.ckpt has no digest: .* modicum adopt "):
        load_checkpoint(path)
    seal_zip(path)
    assert load_checkpoint(path)["epoch"] == 3


def test_missing_checkpoint_is_named(path):
    with pytest.raises(RunError, match=r"last\.ckpt is missing: "):
        load_checkpoint(path)
