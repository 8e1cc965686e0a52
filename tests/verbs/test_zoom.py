"""Zooming with a user's own detector from the command line, without a run."""

import json

import pytest
import torch
from PIL import Image
from square_detector import draw

from modicum import verbs
from modicum.cli import main
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.storage.weights import save_network


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw(size=(320, 240)).permute(1, 2, 0).numpy()).save(tmp_path / "big.png")
    return "big.png"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "light.safetensors"
    save_network(file, LightFCOS(["car", "bus"]).eval())
    return str(file)


@pytest.mark.parametrize("begin", [["zoom", "--detector"], ["--detector"]], ids=["system first", "options first"])
def test_own_detector_answers_at_once(begin, photo, weights, tmp_path, capsys):
    words = [*begin, weights, *([] if begin[0] == "zoom" else ["zoom"]), photo]
    assert main(["predict", *words, "--max-windows", "2", "--min-score", "0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] == photo
    assert len(answer["windows"]) == 2
    assert (tmp_path / answer["files"]["drawing"]).exists()
    assert json.loads((tmp_path / answer["files"]["detections"]).read_text()) == answer["detections"]


def test_missing_picture_costs_only_itself(photo, weights, capsys):
    assert main(["predict", "zoom", "--detector", weights, "missing.png", photo]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("missing.png: not read")
    assert printed.out.startswith("big.png: ")
    assert "of the pixels read" in printed.out


def test_missing_detector_exits_with_2_and_names_the_option(photo, capsys):
    assert main(["predict", "zoom", photo]) == 2
    assert "--detector FILE" in capsys.readouterr().err
    assert main(["predict", "zoom", "--detector", "fcos_resnet5O_fpn", photo]) == 2
    assert "but fcos_resnet50_fpn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-pixels", "0.3", "--max-ms", "5"], "exactly one of price, max_pixels, max_ms and max_windows"),
        (["--max-pixels", "0.01"], "allow at least 0.0625"),
        (["--classes", "car,train"], "no class 'train'"),
        (["--min-scor", "0.4"], "did you mean min_score?"),
    ],
)
def test_bad_options_exit_with_2_and_one_line(words, message, photo, weights, capsys):
    assert main(["predict", "zoom", "--detector", weights, photo, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_existing_folder_of_that_name_wins(photo, weights, tmp_path, capsys):
    (tmp_path / "zoom").mkdir()
    assert main(["predict", "zoom", photo]) == 2
    assert "zoom is not a run" in capsys.readouterr().err


def test_help_shows_the_options_of_the_door(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "zoom", "--help"])
    text = capsys.readouterr().out
    assert all(f"--{name}" in text for name in ("detector", "policy", "max_pixels", "price", "classes", "results"))


def test_python_takes_the_same_name():
    own = CallableDetector(lambda images: [{"boxes": [], "scores": [], "labels": []} for _ in images], ["car"])
    answer = verbs.predictor("zoom", detector=own)(draw().permute(1, 2, 0).numpy())
    assert len(answer.found) == 0
