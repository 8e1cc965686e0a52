"""Published ResNets of CIFAR-10 as members, as a user would go about it: train, predict, export, all by command."""

import json

import pytest

from modicum import cli
from modicum.classify.cascade.runner import OnnxCascade
from modicum.classify.data.opening import open_source
from modicum.datasets.splits import Splits
from modicum.systems import open_run

pytestmark = pytest.mark.data

NUM_IMAGES = 400
ROUTES = ["cifar_resnet20", "cifar_resnet20 + cifar_resnet32"]


@pytest.fixture(scope="module")
def pictures(real_data, tmp_path_factory):
    """Test images of CIFAR-10, which the networks never saw, in a folder with one sub-folder per class."""
    folder, source = tmp_path_factory.mktemp("cifar") / "pictures", open_source(str(real_data / "cifar10"))
    places = [index for index, record in enumerate(source.records) if record.split == "test"][:NUM_IMAGES]
    for index in places:
        file = folder / source.classes[source.records[index].label] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        source.open(index).save(file)
    return folder


@pytest.fixture(scope="module")
def run(real_data, pictures, tmp_path_factory):
    run, weights = tmp_path_factory.mktemp("runs") / "cascade", real_data / "cifar10_resnets"
    members = [f"cifar_resnet{depth}={weights / f'resnet{depth}.safetensors'}" for depth in (20, 32)]
    options = ["--image_px", "32", "--budget", "0.75", "--answers", "average", "--trainer.accelerator", "cpu"]
    assert (
        cli.main(["train", "cascade", "--data", str(pictures), "--members", *members, *options, "--out", str(run)]) == 0
    )
    return run


@pytest.fixture(scope="module")
def exported(run):
    assert cli.main(["export", str(run), "--out", str(run.parent / "deploy")]) == 0
    return run.parent / "deploy"


def test_folder_is_divided_without_being_told_how(run):
    assert Splits.load(run / "splits.json").sizes() == {"train": 170, "calibration": 170, "test": 60}


def test_routes_name_all_members_that_ran(run, pictures, capsys):
    files = [str(file) for file in sorted(pictures.rglob("*.png"))[:40]]
    assert cli.main(["predict", str(run), *files, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {answer["route"] for answer in answers} == set(ROUTES)
    for answer in answers:
        ran = ROUTES[: 1 + ROUTES.index(answer["route"])]
        assert [step["step"] for step in answer["steps"]] == ran


def test_report_names_routes_in_full(run):
    figures = json.loads((run / "curve.json").read_text())
    assert set(figures["calibration"]["routes"]) <= set(ROUTES)
    assert ROUTES[1] in (run / "report.html").read_text()


def test_exported_cascade_answers_pictures_as_the_run_does(run, exported, pictures):
    runner, predictor = OnnxCascade(exported, threads=1), open_run(run).predictor()
    assert list(runner.labels) == ROUTES
    for file in sorted(pictures.rglob("*.png"))[:20]:
        found, expected = runner.classify(file), predictor(file)
        assert (found.predicted, found.route) == (expected.label, expected.route)
        assert found.probability == pytest.approx(expected.probability, abs=1e-4)
        assert found.cost == pytest.approx(expected.cost)
