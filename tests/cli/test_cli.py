import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_process import start_command

from modicum.cli import EXAMPLES, VERBS, main
from modicum.flags import parse_training, verb_parser
from modicum.storage.sealing import read_sealed, write_sealed
from modicum.systems import SYSTEMS, WINGS
from modicum.verbs import OF_RUNS

pytestmark = pytest.mark.usefixtures("hurried")
OPTIONS = Path(__file__).with_name("options.json")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["train", "drnet", "--help"], ["predict", "--help"], []])
def test_help_and_list_do_not_import_torch(words):
    code = f"""
import sys
from modicum.cli import main
try:
    main({words!r})
except SystemExit:
    pass
slow = {{"torch", "torchvision", "timm", "lightning", "sklearn", "matplotlib"}} & set(sys.modules)
assert not slow, slow
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_import_of_the_package_is_instant():
    result = run_python("import modicum, sys; assert 'torch' not in sys.modules; assert 'DRNet' in modicum.__all__")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help_with_examples(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(example in text for example in EXAMPLES[verb])


def test_options_are_pinned_so_that_a_new_one_is_a_decision():
    found = {verb: sorted(inspect.signature(function).parameters) for verb, function in VERBS.items()}
    for wing in WINGS.values():
        trained = wing.trained(None)
        for verb in OF_RUNS:
            options = wing.compare if verb == "compare" else getattr(trained, verb)
            if options is not None:
                run = [] if verb == "compare" else ["run"]
                found[f"{verb} {wing.id}"] = sorted([*run, *inspect.signature(options).parameters])
    for system in SYSTEMS:
        values = parse_training(verb_parser("train", ""), [system])
        found[f"train {system}"] = sorted(vars(values["recipe"]))
    assert found == json.loads(OPTIONS.read_text())


def test_unknown_command_exits_with_2_and_a_suggestion(capsys):
    assert main(["tran"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_unknown_flag_exits_with_2_and_a_suggestion(capsys):
    assert main(["train", "drnet", "--bugdet", "0.4"]) == 2
    assert "did you mean budget?" in capsys.readouterr().err


def test_abbreviated_flag_is_refused(capsys):
    assert main(["train", "drnet", "--budg", "0.4"]) == 2
    assert "did you mean budget?" in capsys.readouterr().err


def test_impossible_option_exits_with_2_and_one_line(capsys):
    assert main(["train", "drnet", "--images.batch_size", "1"]) == 2
    assert capsys.readouterr().err == (
        "modicum: images.batch_size must be at least 2, for batch normalisation, got 1\n"
    )


def test_missing_run_exits_with_2(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="does not exist"):
        main(["evaluate", str(tmp_path / "none"), "--debug"])


def test_recipe_file_and_flags_combine_and_the_flag_wins(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("budget: 0.5\njoint_epochs: 7\n")
    recipe = parse_training(verb_parser("train", ""), ["drnet", "--budget", "0.4", "--recipe", str(file)])["recipe"]
    assert (recipe.budget, recipe.joint_epochs) == (0.4, 7)


def test_last_of_several_recipes_is_the_one_that_counts(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("joint_epochs: 7\n")
    words = ["drnet", "--recipe", "nowhere.yaml", "--recipe", str(file)]
    assert parse_training(verb_parser("train", ""), words)["recipe"].joint_epochs == 7


def test_own_data_chooses_the_recipe_for_own_data():
    recipe = parse_training(verb_parser("train", ""), ["drnet", "--data", "photos"])["recipe"]
    assert recipe.backbone == "photo_resnet"


def test_list_prints_json_on_request(capsys):
    assert main(["list", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == list(SYSTEMS)


def test_predict_reads_paths_from_standard_input(quick_run, digit_folder, capsys, monkeypatch):
    files = [str(file) for file in sorted(digit_folder.rglob("*.png"))[:3]]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(files)))
    assert main(["predict", str(quick_run("drnet")), "-", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == files
    assert all(0 <= row["probability"] <= 1 for row in rows)


def test_predict_exits_with_1_if_a_file_could_not_be_read(quick_run, digit_folder, tmp_path, capsys):
    good = next(digit_folder.rglob("*.png"))
    assert main(["predict", str(quick_run("drnet")), str(good), str(tmp_path / "missing.png")]) == 1
    output = capsys.readouterr()
    assert str(good) in output.out
    assert "missing.png: not read: No such file" in output.err


def test_calibrate_stores_the_knob_that_predict_uses(quick_run, capsys):
    run = quick_run("drnet")
    kept = {name: (run / name).read_bytes() for name in ("calibration.json", "model.safetensors")}
    assert main(["calibrate", str(run), "--budget", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["knob"] == json.loads((run / "calibration.json").read_text())["knob"]
    for name, content in kept.items():
        (run / name).write_bytes(content)


def test_calibrate_in_milliseconds_names_the_least(quick_run, capsys):
    assert main(["calibrate", str(quick_run("drnet")), "--budget_ms", "1e-9"]) == 2
    assert "is below the cheapest routes" in capsys.readouterr().err


def test_calibrate_wants_exactly_one_budget(quick_run, capsys):
    assert main(["calibrate", str(quick_run("drnet"))]) == 2
    assert "give one of budget" in capsys.readouterr().err


def test_evaluate_prints_the_table_and_the_headline(quick_run, capsys):
    assert main(["evaluate", str(quick_run("drnet"))]) == 0
    text = capsys.readouterr().out
    assert "plain network" in text
    assert "On 100 test images:" in text


def test_evaluate_prints_json_on_request(quick_run, capsys):
    assert main(["evaluate", str(quick_run("drnet")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["curve"]["num_samples"] == 100


def test_compare_draws_a_picture_and_judges_against_the_static_family(quick_run, tmp_path, capsys):
    runs = [str(quick_run(system)) for system in ("drnet", "static")]
    assert main(["compare", *runs, "--out", str(tmp_path / "both.svg")]) == 0
    picture = (tmp_path / "both.svg").read_text()
    for words in ("drnet", "photo_resnet", "digit_resnet", "multiply-adds", "image, ms", "its own evaluation"):
        assert words in picture
    text = capsys.readouterr().out
    assert "Against the best static network at no higher cost, in M MAC" in text
    assert "Against the best static network at no higher cost, in ms" in text


def test_picture_of_the_user_is_not_drawn_over_and_wrong_formats_are_refused_first(quick_run, tmp_path, capsys):
    run, picture = str(quick_run("drnet")), tmp_path / "mine.svg"
    picture.write_text("mine")
    assert main(["compare", run, "--out", str(picture)]) == 2
    assert "mine.svg' was not written by modicum, or has been changed since" in capsys.readouterr().err
    assert picture.read_text() == "mine"
    assert main(["compare", run, "--out", str(tmp_path / "a.jpg"), "--clock"]) == 2
    assert "pictures are written as .png or .svg" in capsys.readouterr().err
    assert main(["compare", run, "--out", str(picture), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == {"picture": str(picture)}


def test_compare_prints_verdicts_as_json(quick_run, tmp_path, capsys):
    runs = [str(quick_run(system)) for system in ("drnet", "static")]
    assert main(["compare", *runs, "--out", str(tmp_path / "both.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "against_static" not in found["static"]
    verdicts = found["drnet"]["against_static"]
    assert [verdict["unit"] for verdict in verdicts] == ["MAC", "ms"]
    for verdict in verdicts:
        rival = verdict["rival"]
        assert rival is None or rival["cost"] <= verdict["calibrated"]["cost"]


def test_compare_on_one_clock_times_all_runs_and_keeps_their_figures(quick_run, tmp_path, capsys):
    runs = [quick_run(system) for system in ("drnet", "static")]
    before = [(run / "curve.json").read_bytes() for run in runs]
    assert main(["compare", *map(str, runs), "--out", str(tmp_path / "both.svg"), "--clock", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "timed in turn on this machine" in (tmp_path / "both.svg").read_text()
    assert [(run / "curve.json").read_bytes() for run in runs] == before
    for run, kept in zip(runs, before, strict=True):
        assert found[run.name]["curve"] == json.loads(kept)["curve"]
        assert found[run.name]["curve_ms"] != json.loads(kept)["curve_ms"]
        assert [row["batch_size"] for row in found[run.name]["efficiency"]] == [32]


def test_compare_leaves_milliseconds_out_where_a_run_was_never_timed(quick_run, tmp_path, capsys, caplog):
    timed, untimed = quick_run("drnet"), tmp_path / "untimed"
    shutil.copytree(timed, untimed)
    figures = read_sealed(timed / "curve.json", remedy="")
    write_sealed(untimed / "curve.json", figures | {"curve_ms": None, "efficiency": []})
    with caplog.at_level("INFO"):
        assert main(["compare", str(timed), str(untimed), "--out", str(tmp_path / "both.svg")]) == 0
    assert f"untimed has no measured times, so milliseconds are left out: modicum evaluate {untimed}" in caplog.text
    picture = (tmp_path / "both.svg").read_text()
    assert "multiply-adds" in picture
    assert "image, ms" not in picture


def test_details_of_an_evaluation_are_printed_with_their_note(quick_run, capsys):
    from modicum.classify.results import Detail, read_evaluation
    from modicum.presenting import present, with_files

    detail = Detail("Blocks kept", "Share of [all] images.", ("block", "share"), (("stage 1", "41 %"),))
    evaluation = replace(read_evaluation(quick_run("drnet") / "curve.json"), details=(detail,))
    present(with_files(evaluation, {}), as_json=False)
    text = capsys.readouterr().out
    for words in ("Blocks kept", "stage 1", "41 %", "Share of [all] images."):
        assert words in text


def test_data_counts_names_bad_files_and_draws_a_sheet(digit_folder, tmp_path, capsys):
    broken = digit_folder / "train" / "0" / "broken.png"
    broken.write_bytes(b"")
    try:
        assert main(["data", str(digit_folder), "--json", "--preview", str(tmp_path / "sheet.png")]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["data", str(digit_folder), "--strict"]) == 2
    finally:
        broken.unlink()
    assert sum(found["images"].values()) == 500
    assert [name for name, _ in found["unreadable"]] == ["train/0/broken.png"]
    assert found["files"] == {"preview": str(tmp_path / "sheet.png")}
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(("name", "message"), [("mine.png", "was not written by modicum"), ("a.bmp", "previews are")])
def test_preview_never_takes_the_place_of_a_picture_and_is_of_a_known_format(
    digit_folder, tmp_path, capsys, name, message
):
    (tmp_path / "mine.png").write_bytes(b"mine")
    assert main(["data", str(digit_folder), "--preview", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("mine.png", b"mine")]


def test_bench_check_exits_with_1_when_a_target_is_missed(monkeypatch, capsys):
    from modicum.measuring.rows import Row

    rows = [Row("a", 0.5, "ratio", 0.9), Row("b", 2.0, "ms")]

    def bench(system: str) -> list[Row]:
        """Measured rows."""
        return rows

    monkeypatch.setitem(VERBS, "bench", bench)
    assert main(["bench", "drnet", "--json"]) == 0
    assert [row["holds"] for row in json.loads(capsys.readouterr().out)] == [False, None]
    assert main(["bench", "drnet", "--check"]) == 1
    rows[0] = Row("a", 0.95, "ratio", 0.9)
    assert main(["bench", "drnet", "--check"]) == 0


def test_module_runs_as_a_program():
    result = subprocess.run(
        [sys.executable, "-m", "modicum", "list"], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert result.returncode == 0
    assert "drnet" in result.stdout


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("modicum 0.")


def test_typo_in_a_recipe_file_exits_with_2(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("budgett: 0.4\n")
    assert main(["train", "drnet", "--recipe", str(file)]) == 2
    assert "did you mean budget?" in capsys.readouterr().err


def test_device_that_is_not_there_exits_with_2(digit_folder, tmp_path, capsys):
    words = ["--trainer.accelerator", "gpu"] if not torch.cuda.is_available() else ["--trainer.accelerator", "tpu"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "drnet", "--recipe", "drnet-quick", "--data", str(digit_folder), *out, *words]) == 2
    assert "trainer: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("system", "part"),
    [("drnet", "images"), ("rnan", "patches"), ("saliency", "images"), ("qanet", "text"), ("zoom", "pictures")],
)
def test_strict_is_a_flag_of_training(system, part):
    recipe = parse_training(verb_parser("train", ""), [system, "--strict"])["recipe"]
    assert getattr(recipe, part).strict


def test_short_flag_for_the_place_of_the_result_is_taken(tmp_path):
    assert parse_training(verb_parser("train", ""), ["drnet", "-o", str(tmp_path)])["out"] == tmp_path


def test_looking_at_another_knob_keeps_the_figures_of_the_run(quick_run, capsys):
    run = quick_run("drnet")
    before = (run / "curve.json").read_bytes()
    assert main(["evaluate", str(run), "--knob", "3.5"]) == 0
    assert (run / "curve.json").read_bytes() == before


def test_killed_training_resumes_from_the_command_line_to_the_same_weights(quick_run, digit_folder, tmp_path, capsys):
    """The user's path, lock and report included; `quick_run` is the same training, never killed."""
    out = tmp_path / "run"
    command = ["train", "drnet", "--recipe", "drnet-quick", "--data", str(digit_folder), "--out", str(out)]
    process, deadline = start_command(command, tmp_path / "log"), time.monotonic() + 120
    while not (out / "stages" / "joint" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # polls for the first checkpoint of stage 2
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (out / "model.safetensors").exists()
    assert main(["train", "drnet", "--resume", "--out", str(out)]) == 0
    ours, theirs = (load_file(run / "model.safetensors") for run in (out, quick_run("drnet")))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("drnet --pretrained true", "pretrained was replaced by weights: published"),
        ("blockdrop --policy-weights=a.safetensors", "policy_weights was replaced by weights"),
        ("saliency --network.checkpoint a.pth", "network.checkpoint was replaced by weights"),
        ("ranet --weights lite0", "ranet has a multi-scale network of its own"),
        (
            "drnet --weights lite0",
            "weights lite0 belong to tf_efficientnet_lite0, but backbone is digit_resnet: choose",
        ),
        ("drnet --weights lite7", "weights must be a file"),
    ],
)
def test_option_that_was_replaced_is_refused_with_the_new_one_before_any_work(words, answer, capsys, tmp_path):
    assert main(["train", *words.split(), "--out", str(tmp_path / "run")]) == 2
    assert answer in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
