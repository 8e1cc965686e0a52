import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modicum import verbs
from modicum.storage import DataError, RunError, RunFolder, WeightsError, read_header, write_json
from modicum.storage.header import read_raw_header, verify_digest, write_weights

METADATA = {"format": "modicum", "format_version": "1", "modicum_version": "0.1", "network": "n", "config": "{}"}
KNOB = {"knob": 0.5, "unit": "macs"}


@pytest.fixture
def old_run(tmp_path):
    """A run as modicum wrote it before files had digests."""
    run = RunFolder(tmp_path / "run")
    run.stage("first").mkdir(parents=True)
    run.recipe.write_text("lr: 0.1\n")
    start = {"time": "", "command": "", "versions": {}}
    write_json(run.state, {"system": "drnet", "created": "", "starts": [start], "stages": []})
    write_json(run.splits, {"train": ["a"], "digest": "of data"})
    write_json(run.calibration, KNOB)
    write_json(run.baselines, [{"label": "plain"}])
    (run.path / "words").mkdir()
    np.save(run.path / "words" / "vectors.npy", np.ones((2, 3), np.float32))
    write_json(run.path / "words" / "vectors.json", {"version": 1, "table": {"words": ["a", "b"], "name": "t"}})
    save_file({"a": np.ones(3, np.float32)}, run.weights, METADATA | {"notes": '{"classes": ["cat"]}'})
    return run


def test_run_of_an_older_version_names_the_command_that_takes_it_over(old_run):
    with pytest.raises(DataError, match=rf"run\.json has no digest: .* modicum adopt {old_run.path}$"):
        verbs.evaluate(old_run.path)


def test_adopted_run_has_digests_of_all(old_run):
    assert verbs.adopt(old_run.path) == old_run.path
    old_run.verify_recipe()
    verify_digest(old_run.weights, read_raw_header(old_run.weights))
    notes = read_header(old_run.weights).notes
    assert notes == {"classes": ["cat"], **old_run.recipe_note(), "calibration": KNOB}
    files = [old_run.state, old_run.splits, old_run.baselines, old_run.content, old_run.path / "words" / "vectors.json"]
    assert all("sha256" in json.loads(file.read_text()) for file in files)
    assert len(json.loads(files[-1].read_text())["table"]["sha256"]) == 64
    assert json.loads(old_run.content.read_text())["samples"] is None


def test_adopting_twice_changes_nothing(old_run):
    verbs.adopt(old_run.path)
    before = {file: file.read_bytes() for file in old_run.path.rglob("*") if file.is_file()}
    verbs.adopt(old_run.path)
    assert {file: file.read_bytes() for file in before} == before


def test_adopting_does_not_forgive_damage(old_run):
    verbs.adopt(old_run.path)
    content = bytearray(old_run.weights.read_bytes())
    content[-1] ^= 1
    old_run.weights.write_bytes(content)
    with pytest.raises(WeightsError, match="is not as it was written"):
        verbs.adopt(old_run.path)


def test_weights_alone_are_adopted(old_run):
    file = old_run.weights.rename(old_run.path.parent / "alone.safetensors")
    verbs.adopt(file)
    verify_digest(file, read_raw_header(file))
    assert load_file(file)["a"].tolist() == [1, 1, 1]


def test_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        verbs.adopt(tmp_path)


def test_weights_with_a_digest_stay_as_they_are(tmp_path):
    write_weights(tmp_path / "a.safetensors", METADATA, (8).to_bytes(8, "little") + b"{}      ")
    before = (tmp_path / "a.safetensors").read_bytes()
    verbs.adopt(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == before
