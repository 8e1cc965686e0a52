import json

import pytest
import torch
from PIL import Image
from square_detector import HEIGHT, WIDTH, Recorder, draw

from modicum.adaptive.knobs import BudgetError
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.zoom.untrained import UntrainedZoom
from modicum.prediction import Failure
from modicum.storage import DataError, OutputError, RecipeError, WeightsError
from modicum.storage.weights import save_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A light detector in a file, which finds much in anything."""
    torch.manual_seed(0)
    light = LightFCOS(["car", "bus"]).eval()
    torch.nn.init.zeros_(light.fcos.head.classification_head.cls_logits.bias)
    file = tmp_path_factory.mktemp("weights") / "light.safetensors"
    save_network(file, light)
    return file


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("000000000139.png", "roof.png"):
        Image.fromarray(draw(size=(320, 240)).permute(1, 2, 0).numpy()).save(folder / name)
    return folder


def test_predict_writes_a_drawing_and_detections_of_each_picture(weights, photos, tmp_path):
    answers = UntrainedZoom().predict(
        [photos], detector=str(weights), out=tmp_path / "out", results=tmp_path / "all.json", min_score=0.0
    )
    assert all(answer.answer.share <= 0.4 for answer in answers)
    names = {file.name for file in (tmp_path / "out").glob("[!.]*")}
    assert names == {f"{name}_zoom.{kind}" for name in ("000000000139", "roof") for kind in ("jpg", "json")}
    rows = json.loads((tmp_path / "all.json").read_text())
    assert {row["image_id"] for row in rows} == {139, "roof.png"}
    alone = json.loads((tmp_path / "out/roof_zoom.json").read_text())
    assert alone == [row for row in rows if row["image_id"] == "roof.png"]


def test_class_filter_keeps_the_numbers_of_classes(weights, photos, tmp_path):
    options = {"detector": str(weights), "out": tmp_path / "out", "min_score": 0.0}
    every = [row for answer in UntrainedZoom().predict([photos], **options) for row in answer.results()]
    buses = [row for each in UntrainedZoom().predict([photos], classes="BUS", **options) for row in each.results()]
    assert {row["category_id"] for row in every} == {1, 2}
    assert {(row["category_id"], row["category"]) for row in buses} == {(2, "bus")}


def test_unknown_class_names_those_that_there_are(weights, photos, tmp_path):
    with pytest.raises(DataError, match="no class 'train'; it has 'car', 'bus'"):
        list(UntrainedZoom().predict([photos], detector=str(weights), classes="train", out=tmp_path / "out"))


def test_predict_without_a_detector_says_what_is_needed(photos):
    with pytest.raises(RecipeError, match="--detector FILE"):
        list(UntrainedZoom().predict([photos]))


def test_name_without_weights_here_fails_and_names_the_option(photos, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="--detector FILE"):
        list(UntrainedZoom().predict([photos], detector="fcos_resnet50_fpn"))


def test_two_limits_are_refused(weights, photos):
    with pytest.raises(BudgetError, match="got max_pixels and max_windows"):
        list(UntrainedZoom().predict([photos], detector=str(weights), max_pixels=0.3, max_windows=2))


def test_broken_picture_costs_only_itself(weights, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"no picture")
    answers = list(UntrainedZoom().predict([photos], detector=str(weights), out=tmp_path / "out"))
    assert [isinstance(answer, Failure) for answer in answers] == [False, True, False]


def test_results_of_others_are_not_overwritten(weights, photos, tmp_path):
    (tmp_path / "all.json").write_text("mine")
    options = {"detector": str(weights), "out": tmp_path / "out", "results": tmp_path / "all.json"}
    with pytest.raises(OutputError, match="will not be overwritten"):
        list(UntrainedZoom().predict([photos], **options))
    list(UntrainedZoom().predict([photos], **options, force=True))
    assert {row["category"] for row in json.loads((tmp_path / "all.json").read_text())} <= {"car", "bus"}


@pytest.mark.parametrize("policy", ["entropy", "score"])
def test_detector_of_ones_own_needs_no_file(policy):
    own = CallableDetector(Recorder(), ["square"])
    answer = UntrainedZoom().predictor(detector=own, policy=policy)(draw().permute(1, 2, 0).numpy())
    assert len(answer.found) == 3
    assert answer.answer.size == (WIDTH, HEIGHT)
    assert answer.answer.share <= 0.4
