import json
import logging
from dataclasses import replace

import pytest
import torch
from classify_cascade import write_colours
from safetensors.torch import save_file
from written_graphs import write_graph

from modicum.classify.backbones import create_backbone
from modicum.classify.cascade.details import describe
from modicum.classify.cascade.fitting import fit
from modicum.classify.cascade.member_data import halve
from modicum.classify.cascade.member_sources import find_members
from modicum.classify.cascade.members import MemberCascade, rebuild_cascade
from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.data.opening import open_source
from modicum.classify.evaluation import evaluate_run, read_baselines
from modicum.classify.recipe import ImageOptions
from modicum.classify.static.fitting import fit as fit_static
from modicum.classify.static.recipe import StaticRecipe
from modicum.datasets.splits import Splits
from modicum.measuring.counting import count_network_macs
from modicum.storage.errors import DataError, RecipeError, WeightsError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.recipe import TrainerOptions

pytest.importorskip("onnx", reason="the export extra is not installed")

TRAINER = TrainerOptions(accelerator="cpu", threads=1)


def new_run(path, system="cascade"):
    return RunFolder.create(path, system=system, recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return write_colours(tmp_path_factory.mktemp("colours"), train=40, val=160, test=100)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    return write_graph(folder / "few.onnx", 0, 2), write_graph(folder / "all.onnx", 0, 32, probabilities=True)


@pytest.fixture(scope="module")
def recipe(colours, graphs):
    images = ImageOptions(mean=(0.5,) * 3, std=(0.25,) * 3)
    return CascadeRecipe(str(colours), graphs, image_px=32, budget=0.6, images=images, trainer=TRAINER)


@pytest.fixture(scope="module")
def fitted(recipe, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("runs") / "cascade")
    return run, fit(recipe, run)


def test_cascade_of_onnx_files_is_one_file_that_answers_alike(fitted, tmp_path):
    run, network = fitted
    moved = tmp_path / "model.safetensors"
    moved.write_bytes(run.weights.read_bytes())  # no file beside it is needed
    loaded = load_network(moved, {"cascade": rebuild_cascade})
    images = torch.randn(5, 3, 32, 32)
    assert isinstance(network, MemberCascade)
    assert torch.equal(loaded.predict(images, 0.5).outputs, network.predict(images, 0.5).outputs)
    assert [member.name for member in loaded.members] == ["few", "all"]


def test_costs_of_graphs_are_counted(fitted):
    assert [member.macs for member in fitted[1].members] == [2 * 3 * 2 * 32, 2 * 3 * 32 * 32]


def test_probabilities_of_a_graph_count_as_such(fitted):
    images = torch.rand(3, 3, 32, 32)
    probabilities = fitted[1].networks[1](images).exp().sum(dim=1)
    torch.testing.assert_close(probabilities, torch.ones(3))


def test_half_of_the_calibration_images_fits_and_the_other_half_gives_the_knob(fitted):
    splits = Splits.load(fitted[0].splits)
    assert splits.sizes() == {"train": 80, "calibration": 80, "test": 100}
    assert all(name.startswith("val") for name in (*splits.train, *splits.calibration))
    for part in (splits.train, splits.calibration):
        assert sum("red" in name for name in part) == 40


@pytest.mark.parametrize("parts", ["val", "val and test"])
def test_data_need_no_training_part(recipe, colours, tmp_path, parts):
    data = colours / "val"  # one sub-folder per class
    if parts == "val and test":
        data = tmp_path / "parts"
        data.mkdir()
        for part in ("val", "test"):
            (data / part).symlink_to(colours / part)
    run = new_run(tmp_path / "run")
    fit(replace(recipe, data=str(data)), run)
    expected = {"val": (68, 68, 24), "val and test": (80, 80, 100)}[parts]
    assert tuple(Splits.load(run.splits).sizes().values()) == expected


def test_cascade_is_better_than_its_cheapest_member_within_the_budget(recipe, fitted):
    run, network = fitted
    evaluation = evaluate_run(run, network, recipe, system="cascade", batch_sizes=())
    alone = {point.name: point for point in read_baselines(run)}
    assert set(alone) == {"few", "all"}
    assert evaluation.calibrated.worth > alone["few"].worth
    assert evaluation.calibrated.cost < 0.75 * network.costs.plain  # the test images are other ones
    assert evaluation.resolution_px == 32


def test_killed_fitting_finds_its_answers_again(recipe, fitted, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("modicum.classify.fitting.ClassifierFitting.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(recipe, run)
    assert list((run.path / "logits").iterdir())
    monkeypatch.setattr("modicum.classify.cascade.kept_rows.save", lambda tensors: 1 / 0)  # nothing is computed again
    network = fit(recipe, run)
    assert torch.equal(network.policy.table.values(), fitted[1].policy.table.values())
    assert not (run.path / "logits").exists()


def test_member_that_does_not_pay_is_dropped_and_the_report_says_so(recipe, graphs, tmp_path):
    again = write_graph(tmp_path / "again.onnx", 0, 32, width=3)  # three times the cost, the same answers
    run = new_run(tmp_path / "run")
    recipe = replace(recipe, members=(graphs[1], again), budget=0.5)
    network = fit(recipe, run)
    assert [member.name for member in network.members] == ["all"]
    assert [name for name, _ in network.dropped] == ["again"]
    assert network.costs.plain == 3 * network.members[0].macs
    evaluation = evaluate_run(run, network, recipe, system="cascade", batch_sizes=(), describe=describe)
    told = {detail.title: detail for detail in evaluation.details}["Members that do not pay"]
    assert "all alone answers every image" in told.note
    assert told.rows == (("again", "0.01843"),)


def test_budget_below_the_cheapest_member_is_refused_before_images_are_read(recipe, tmp_path):
    with pytest.raises(
        RecipeError, match=r"below the cheapest member, few, 0\.0625 of it: raise budget to 0\.07 or more"
    ):
        fit(replace(recipe, budget=0.01, data=str(tmp_path / "missing")), new_run(tmp_path / "run"))


def test_network_of_other_classes_is_refused_with_its_number(recipe, graphs, tmp_path):
    save_file(create_backbone("cifar_resnet8", 7).state_dict(), tmp_path / "seven.safetensors")
    members = (graphs[0], f"cifar_resnet8={tmp_path / 'seven.safetensors'}")
    with pytest.raises(RecipeError, match=r"has 7 classes, but .* has 2 \('blue', 'red'\)"):
        fit(replace(recipe, members=members), new_run(tmp_path / "run"))


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["red", "blue"], "in another order: class 0 is 'red' there, 'blue' in the data"),
        (["blue", "green"], "'green' unknown to the data; 'red' only in the data"),
    ],
)
def test_names_of_classes_beside_a_file_are_compared(recipe, graphs, tmp_path, classes, told):
    file = write_graph(tmp_path / "named.onnx", 0, 8)
    (tmp_path / "named.json").write_text(json.dumps({"classes": classes, "mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(RecipeError, match=told):
        fit(replace(recipe, members=(*graphs, file)), new_run(tmp_path / "run"))


def test_images_stated_beside_a_file_are_those_of_its_member(graphs, tmp_path):
    file = write_graph(tmp_path / "stated.onnx", 0, 8)
    (tmp_path / "stated.json").write_text(
        json.dumps({"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic"})
    )
    found = {each.member.name: each.member.images for each in find_members([graphs[0], file], ImageOptions(), 64)}
    assert (found["stated"].mean, found["stated"].std, found["stated"].size_px) == ((0.5,) * 3, (0.25,) * 3, 32)
    assert found["stated"].interpolation == "bicubic"
    (tmp_path / "stated.json").write_text(json.dumps({"average": 1}))
    with pytest.raises(WeightsError, match="states 'average'; it may state size"):
        find_members([graphs[0], file], ImageOptions(), 64)


def test_graph_for_single_images_answers_batches(graphs, tmp_path):
    single = write_graph(tmp_path / "single.onnx", 0, 32, batch=1, probabilities=True)
    few, whole = find_members([single, graphs[1]], ImageOptions(), 32)
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(few.network(images), whole.network(images))


def test_graph_of_something_else_is_refused(graphs, tmp_path):
    with pytest.raises(WeightsError, match="takes batches of exactly 8"):
        find_members([graphs[0], write_graph(tmp_path / "eight.onnx", 0, 4, batch=8)], ImageOptions(), 32)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"broken\.onnx cannot be used"):
        find_members([graphs[0], str(tmp_path / "broken.onnx")], ImageOptions(), 32)


@pytest.fixture(scope="module")
def static_run(tmp_path_factory, colours):
    """A run of two small networks, trained on the training part of the colours."""
    run = new_run(tmp_path_factory.mktemp("runs") / "static", "static")
    options = ImageOptions(batch_size=20, crop="none", mean=(0.5,) * 3, std=(0.25,) * 3)
    fit_static(
        StaticRecipe(str(colours), ("digit_resnet", "cifar_resnet8"), epochs=1, images=options, trainer=TRAINER), run
    )
    return run


def test_members_of_a_static_run_are_members_with_its_preprocessing(static_run, recipe, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        network = fit(replace(recipe, members=(str(static_run.path), recipe.members[0])), new_run(tmp_path / "run"))
    names = {member.name for member in network.members} | {name for name, _ in network.dropped}
    assert names == {"few", "static: digit_resnet", "static: cifar_resnet8"}
    assert network.costs.plain == count_network_macs(create_backbone("cifar_resnet8", 2), (1, 3, 32, 32))
    assert network.images.mean == (0.5,) * 3
    warned = next(line for line in caplog.messages if "it is not known which images" in line)
    assert "few.onnx" in warned
    assert "static" not in warned


def test_run_that_was_trained_on_the_calibration_images_is_refused(static_run, recipe, colours, tmp_path):
    for part, other in (("train", "val"), ("val", "train"), ("test", "test")):
        (tmp_path / "turned").mkdir(exist_ok=True)
        (tmp_path / "turned" / part).symlink_to(colours / other)
    turned = replace(recipe, data=str(tmp_path / "turned"), members=(str(static_run.path), recipe.members[0]))
    with pytest.raises(DataError, match=r"was trained on 40 of the 40 calibration images.*--seed 0"):
        fit(turned, new_run(tmp_path / "run"))


def test_copies_stay_in_one_half(colours):
    source = open_source(str(colours))
    ids = tuple(record.id for record in source.records if record.split == "calibration")
    digests = {name: str(place // 2) for place, name in enumerate(ids)}
    label_pairs = Splits((), ids, ("x",), 0)
    halves = halve(source, label_pairs, digests, 0)
    assert {digests[name] for name in halves.train}.isdisjoint(digests[name] for name in halves.calibration)
    assert len(halves.train) == len(halves.calibration) == len(ids) // 2


@pytest.mark.data
def test_published_resnets_beat_the_larger_one_at_less_cost(real_data, tmp_path):
    source, counts = open_source(str(real_data / "cifar10")), [0] * 10
    for index, record in enumerate(source.records):
        if record.split != "test":
            continue
        counts[record.label] += 1
        part = "train" if counts[record.label] < 2 else ("val", "test")[counts[record.label] % 2]
        file = tmp_path / "cifar" / part / source.classes[record.label] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        source.open(index).save(file)
    members = tuple(
        f"cifar_resnet{depth}={real_data / 'cifar10_resnets' / f'resnet{depth}.safetensors'}" for depth in (20, 32)
    )
    recipe = CascadeRecipe(
        str(tmp_path / "cifar"), members=members, image_px=32, budget=0.7, answers="average", trainer=TRAINER
    )
    run = new_run(tmp_path / "run")
    evaluation = evaluate_run(run, fit(recipe, run), recipe, system="cascade", batch_sizes=())
    larger = next(point for point in evaluation.curve.plain if point.name == "cifar_resnet32")
    assert evaluation.calibrated.worth > larger.worth
    assert evaluation.calibrated.cost < 0.75 * larger.cost
