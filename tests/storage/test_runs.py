import contextlib
import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import settings
from safetensors.numpy import save

from modicum.storage import DataError, RunError, RunFolder, read_json
from modicum.storage.header import write_weights
from modicum.storage.sealing import write_sealed

UNHURRIED = settings(deadline=None)  # the first example waits for imports and disks

START = {
    "system": "drnet",
    "recipe_text": "lr: 0.1\nepochs: 3\n",
    "command": "modicum train drnet",
    "versions": {"torch": "2.15"},
}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", **START)


class TestCreate:
    def test_state_says_how_it_began(self, run):
        state = run.read_state()
        assert (state.system, state.stages) == ("drnet", ())
        assert [dataclasses.astuple(s)[1:] for s in state.starts] == [("modicum train drnet", {"torch": "2.15"})]
        assert state.created.endswith("+00:00")

    def test_recipe_is_kept_as_given(self, run):
        assert run.recipe.read_text() == START["recipe_text"]

    @pytest.mark.parametrize("leftover", [None, ".run.json.0123abcd.tmp"])
    def test_an_empty_folder_is_accepted(self, tmp_path, leftover):
        if leftover:
            (tmp_path / leftover).touch()
        assert RunFolder.create(tmp_path, **START).finished_stages() == []

    def test_an_existing_run_is_refused(self, run):
        with pytest.raises(RunError, match=r"run holds a run already: pass --resume .* or choose another --out"):
            RunFolder.create(run.path, **START)

    def test_foreign_files_are_named_and_untouched(self, tmp_path):
        for i in range(7):
            (tmp_path / f"photo{i}.jpg").touch()
        message = r"not empty and not a run \(it holds photo0.jpg, .*photo4.jpg, and 2 more\): choose another --out"
        with pytest.raises(RunError, match=message):
            RunFolder.create(tmp_path, **START)
        assert len(list(tmp_path.iterdir())) == 7

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(RunError, match="is a file, not a folder: choose another --out"):
            RunFolder.create(tmp_path / "file", **START)

    def test_a_kill_before_the_end_leaves_no_run(self, tmp_path, monkeypatch):
        monkeypatch.setattr("modicum.storage.runs.write_sealed", lambda *_: None)
        RunFolder.create(tmp_path, **START)
        with pytest.raises(RunError, match="not a run"):
            RunFolder.open(tmp_path)


class TestOpen:
    def test_an_opened_run_equals_the_created_one(self, run):
        assert RunFolder.open(str(run.path)) == run

    def test_missing_folder_with_runs_beside_it(self, run):
        with pytest.raises(RunError, match=r"rum does not exist: runs beside it, newest first: run$"):
            RunFolder.open(run.path.with_name("rum"))

    def test_runs_nearby_come_newest_first(self, run):
        newer = RunFolder.create(run.path.with_name("second"), **START)
        os.utime(run.state, (0, 0))
        assert newer.state.exists()
        with pytest.raises(RunError, match=r"newest first: second, run$"):
            RunFolder.open(run.path.with_name("third"))

    def test_a_folder_of_runs_names_them(self, run):
        with pytest.raises(RunError, match=r"is not a run \(no run.json\): runs in it, newest first: run$"):
            RunFolder.open(run.path.parent)

    def test_no_run_far_and_wide(self, tmp_path):
        with pytest.raises(RunError, match="does not exist: begin one with modicum train"):
            RunFolder.open(tmp_path / "a" / "b")


class TestResume:
    def test_the_new_start_is_added(self, run):
        RunFolder.resume(run.path, **START | {"command": "modicum train drnet --resume"})
        commands = [start.command for start in run.read_state().starts]
        assert commands == ["modicum train drnet", "modicum train drnet --resume"]

    def test_another_system_is_refused(self, run):
        with pytest.raises(RunError, match="is a run of 'drnet', not of 'ranet': choose another --out"):
            RunFolder.resume(run.path, **START | {"system": "ranet"})

    def test_another_recipe_is_refused(self, run):
        with pytest.raises(RunError, match="begun with another recipe"):
            RunFolder.resume(run.path, **START | {"recipe_text": ""})

    def test_a_missing_run_is_refused(self, tmp_path):
        with pytest.raises(RunError, match="does not exist"):
            RunFolder.resume(tmp_path / "run", **START)


class TestState:
    def test_stages_are_listed_in_the_order_of_finishing(self, run):
        run.mark_finished("backbone")
        run.mark_finished("policy", {"accuracy": 0.9})
        assert run.finished_stages() == ["backbone", "policy"]
        assert run.read_state().stages[1].notes == {"accuracy": 0.9}

    def test_a_stage_done_again_is_listed_once(self, run):
        for stage in ("backbone", "policy", "backbone"):
            run.mark_finished(stage)
        assert run.finished_stages() == ["policy", "backbone"]

    def test_state_file_is_readable_by_others(self, run):
        run.mark_finished("backbone")
        state = read_json(run.state)
        assert list(state) == ["system", "created", "starts", "recipe_digest", "stages", "sha256"]

    @pytest.mark.parametrize("content", ["{}", '{"system": 1, "created": "", "starts": [], "stages": [], "more": 1}'])
    def test_another_content_is_refused(self, run, content):
        write_sealed(run.state, json.loads(content))
        with pytest.raises(RunError, match=r"run\.json is damaged or of another version of modicum"):
            run.read_state()

    def test_invalid_json_is_located(self, run):
        run.state.write_text("{")
        with pytest.raises(DataError, match=r"run\.json is not valid JSON: .* line 1"):
            run.read_state()


class TestCheckSameRecipe:
    def test_line_ends_do_not_matter(self, run):
        run.check_same_recipe("lr: 0.1\r\nepochs: 3")

    def test_differing_lines_are_named(self, run):
        with pytest.raises(
            RunError, match=r"another recipe: -lr: 0.1; \+lr: 0.2 \(- this run, \+ asked for\): resume with"
        ):
            run.check_same_recipe("lr: 0.2\nepochs: 3\n")

    def test_many_differences_are_counted(self, run):
        with pytest.raises(RunError, match="and 7 more"):
            run.check_same_recipe("".join(f"line{i}\n" for i in range(10)))

    def test_a_lost_recipe_is_told(self, run):
        run.recipe.unlink()
        with pytest.raises(RunError, match=r"has lost its recipe\.yaml"):
            run.check_same_recipe("lr: 0.1")


def test_names_are_those_of_the_documentation(tmp_path):
    run = RunFolder(tmp_path)
    properties = {name for name, value in vars(RunFolder).items() if isinstance(value, property)}
    assert {name: getattr(run, name).relative_to(tmp_path).as_posix() for name in properties} == {
        "recipe": "recipe.yaml",
        "baselines": "baselines.json",
        "weights": "model.safetensors",
        "metrics": "metrics.jsonl",
        "curve": "curve.json",
        "figures": "figures.json",
        "calibration": "calibration.json",
        "splits": "splits.json",
        "content": "content.json",
        "state": "run.json",
        "report": "report.html",
        "tensorboard": "tensorboard",
    }


def test_recipe_of_a_process_killed_before_the_run_existed_is_no_obstacle(tmp_path):
    (tmp_path / "recipe.yaml").write_text("budget: 0.5\n")
    assert RunFolder.create(tmp_path, **START).finished_stages() == []


def test_run_that_only_began_is_discarded_with_its_splits(run):
    with run.locked():
        run.splits.write_text("{}")
    run.discard_unused()
    assert not run.path.exists()


def test_run_that_holds_anything_is_not_discarded(run):
    run.metrics.write_text("{}\n")
    run.discard_unused()
    assert run.state.exists()
    assert run.recipe.exists()


class TestBegin:
    def begin(self, run, **changes):
        return RunFolder.begin(run.path, **{"resume": False, **START, **changes})

    def test_nothing_is_written_by_a_resumption_that_does_not_get_the_lock(self, run, monkeypatch):
        before = run.state.read_bytes()

        @contextlib.contextmanager
        def taken(path):
            raise RunError(f"{path.parent} is in use by another process")
            yield

        monkeypatch.setattr("modicum.storage.runs.locked", taken)
        with pytest.raises(RunError, match="is in use"), self.begin(run, resume=True):
            pass
        assert run.state.read_bytes() == before

    @pytest.mark.parametrize("error", [DataError("bad"), ValueError("seed"), TypeError("bug"), OSError("disk")])
    def test_a_start_that_fails_before_the_first_step_leaves_no_folder(self, tmp_path, error):
        run = RunFolder(tmp_path / "new")
        with pytest.raises(type(error)), self.begin(run) as begun:  # noqa: PT012  what fits are made of
            begun.splits.write_text("{}")
            begun.stage("first").mkdir(parents=True)
            (run.path / "words").mkdir()
            (run.path / "words" / "vocabulary.json").write_text("{}")
            raise error
        assert not run.path.exists()
        with self.begin(run):
            pass

    def test_a_failure_after_something_was_reached_keeps_it(self, tmp_path):
        run = RunFolder(tmp_path / "new")
        with pytest.raises(ValueError, match="late"), self.begin(run) as begun:  # noqa: PT012
            begun.stage("first").mkdir(parents=True)
            (begun.stage("first") / "last.ckpt").write_text("")
            raise ValueError("late")
        assert run.state.exists()

    def test_a_failed_resumption_keeps_the_run(self, run):
        with pytest.raises(ValueError, match="bad"), self.begin(run, resume=True):
            raise ValueError("bad")
        assert run.state.exists()

    def test_an_interrupted_start_stays_to_be_resumed(self, tmp_path):
        run = RunFolder(tmp_path / "new")
        with pytest.raises(KeyboardInterrupt), self.begin(run):
            raise KeyboardInterrupt
        with self.begin(run, resume=True):
            assert len(run.read_state().starts) == 2

    def test_a_refused_start_leaves_a_foreign_folder_as_it_was(self, tmp_path):
        (tmp_path / "photo.jpg").touch()
        with pytest.raises(RunError, match="is not empty and not a run"), self.begin(RunFolder(tmp_path)):
            pass
        assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]


class TestVerifyRecipe:
    @pytest.mark.parametrize("content", [b"lr: 0.1\n", b"lr: 0.2\nepochs: 3\n", b"", "lr: 0.1\n".encode("utf-16")])
    def test_a_changed_recipe_is_told(self, run, content):
        run.recipe.write_bytes(content)
        with pytest.raises(RunError, match=r"recipe\.yaml is not the recipe that this run was trained by"):
            run.verify_recipe()

    def test_weights_of_another_recipe_are_told(self, run):
        plain = save({"a": np.ones(3)})
        metadata = {"format": "modicum", "format_version": "1", "modicum_version": "0", "network": "n", "config": "{}"}
        write_weights(run.weights, metadata | {"notes": json.dumps(run.recipe_note())}, plain)
        run.verify_recipe()
        write_weights(run.weights, metadata | {"notes": '{"recipe_digest": "0"}'}, plain)
        with pytest.raises(RunError, match="is not the recipe that this run was trained by"):
            run.verify_recipe()


def test_changed_state_is_told(run):
    run.state.write_text(run.state.read_text().replace("drnet", "ranet", 1))
    with pytest.raises(DataError, match=r"run\.json is not as it was written"):
        run.read_state()


@pytest.mark.parametrize("line", ['{"step": 1}', '{"stage": 3, "step": 1}', '{"stage": "a", "step": "b"}'])
def test_line_that_is_not_of_a_log_is_named(run, line):
    run.metrics.write_text('{"stage": "a", "step": 1, "loss": null}\n' + line + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl line 2 is not of a training's log"):
        run.read_metrics()
