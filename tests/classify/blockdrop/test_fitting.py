from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from modicum.classify.backbones import create_backbone
from modicum.classify.blockdrop.fitting import (
    fit,
    read_policy_start,
    static_choices,
    warn_of_short_curriculum,
)
from modicum.classify.blockdrop.network import BlockDrop, rebuild_blockdrop
from modicum.classify.blockdrop.policies import start_from_resnet18
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.evaluation import calibrate_run, evaluate_run, open_data, read_baselines
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.pretrained import read_start
from modicum.classify.recipe import ImageOptions
from modicum.measuring.counting import count_macs
from modicum.storage.errors import DataError, DivergedError, RecipeError, WeightsError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.checkpoints import load_checkpoint
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions

STAGES = ["base", "policy", "joint", "plain", "most_frequent", "first", "random"]


def new_run(path):
    return RunFolder.create(path, system="blockdrop", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(digit_folder):
    return BlockDropRecipe(
        data=str(digit_folder),
        backbone="digit_resnet",
        policy="small",
        budget=0.9,
        base_epochs=3,
        policy_epochs=3,
        joint_epochs=2,
        joint_rate=1e-3,
        optimizer=SgdOptions(0.1),
        schedule=Schedule(),
        policy_batch_size=50,
        joint_batch_size=None,
        images=ImageOptions(batch_size=30, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def short(recipe):
    """One epoch per stage on a few images, no baselines."""
    return replace(
        recipe,
        base_epochs=1,
        policy_epochs=1,
        joint_epochs=1,
        baselines=False,
        images_per_epoch=60,
        policy_batch_size=None,
    )


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A run folder and the network that was trained there."""
    run = new_run(tmp_path_factory.mktemp("runs") / "digits")
    return run, fit(recipe, run)


def stage_state(run, stage, which):
    state = load_checkpoint(run.stage(stage) / f"{which}.ckpt")["state_dict"]
    return {name.removeprefix("network."): value for name, value in state.items()}


def backbone_of(state):
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


def assert_same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_run_folder_holds_everything(trained):
    run, network = trained
    assert all(path.is_file() for path in (run.weights, run.splits, run.baselines, run.metrics))
    assert run.finished_stages() == STAGES
    assert not network.training


def test_stored_network_is_the_returned_one(trained):
    run, network = trained
    assert_same(load_network(run.weights, {"blockdrop": rebuild_blockdrop}).state_dict(), network.state_dict())


def test_metrics_tell_of_every_epoch_with_reward_cost_and_blocks(trained):
    rows = [row for row in read_jsonl(trained[0].metrics) if "val/accuracy" in row]
    lengths = {"base": 3, "policy": 3, "joint": 2, "plain": 2, "most_frequent": 2, "first": 2, "random": 2}
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (stage, epoch) for stage, count in lengths.items() for epoch in range(count)
    ]
    routed = [row for row in rows if row["stage"] in ("policy", "joint")]
    assert all({"val/reward", "val/cost", "val/blocks"} <= row.keys() for row in routed)


def test_network_is_that_of_the_best_validation_reward(trained):
    run, network = trained
    assert_same(network.state_dict(), stage_state(run, "joint", "best"))


def test_policy_is_learnt_on_the_very_backbone_that_was_trained(trained):
    run, _ = trained
    base = {f"backbone.{name}": value for name, value in stage_state(run, "base", "last").items()}
    assert_same(backbone_of(stage_state(run, "policy", "last")), base)


@torch.inference_mode()
def accuracy_on_test(recipe, run, network):
    batches = open_data(recipe, run).evaluate_on("test")
    return torch.cat([network(images).argmax(1) == labels for images, labels in batches]).double().mean().item()


def base_of(run):
    network = BlockDrop("digit_resnet", num_classes=10, policy="small")
    network.backbone.load_state_dict(stage_state(run, "base", "last"))
    return network


def routes_on_calibration(recipe, run, network):
    """What the policy decides at the budget that the report shows."""
    data = open_data(recipe, run)
    scores = torch.cat([network.scores(images) for images, _ in data.evaluate_on("calibration")])
    calibration = calibrate_run(run, network, data, network.costs, recipe.budget * network.costs.plain)
    return network.policy.decide(scores, calibration.knob)


def kept_by_baselines(recipe, run, network):
    """What the baselines must keep, the nested path aside."""
    return static_choices(routes_on_calibration(recipe, run, network), recipe.seed)


def test_baselines_are_named(trained):
    assert [point.name.split(" (")[0] for point in read_baselines(trained[0])] == [
        "plain network",
        "most frequent policy for all",
        "first blocks",
        "random blocks",
        "plain network after the base stage",
    ]


@pytest.mark.parametrize("place", range(4))
def test_baselines_are_tuned_networks_without_a_policy(recipe, trained, place):
    run, network = trained
    point = read_baselines(run)[place]
    stage, keep = list(kept_by_baselines(recipe, run, network).items())[place]
    tuned, untuned = base_of(run).static(keep).eval(), base_of(run).static(keep)
    tuned.load_state_dict(stage_state(run, stage, "best"))
    assert count_macs(tuned, torch.zeros(1, 3, 32, 32)) == point.cost
    assert accuracy_on_test(recipe, run, tuned) == pytest.approx(point.worth)
    assert not torch.equal(tuned.conv1.weight, untuned.conv1.weight)


def test_base_is_tested_as_the_policy_found_it(recipe, trained):
    run, network = trained
    base = base_of(run).plain_network().eval()
    assert read_baselines(run)[-1].worth == pytest.approx(accuracy_on_test(recipe, run, base))
    assert read_baselines(run)[-1].cost == network.costs.plain


def test_finished_run_is_not_trained_again(recipe, trained):
    run, network = trained
    lines = run.metrics.read_text()
    assert_same(fit(recipe, run).state_dict(), network.state_dict())
    assert run.metrics.read_text() == lines


def test_evaluation_shows_policies_classes_and_baselines(recipe, trained):
    run, network = trained
    evaluation = evaluate_run(run, network, recipe, system="blockdrop", batch_sizes=())
    assert evaluation.calibration.achieved <= evaluation.calibration.target
    assert evaluation.curve.static == ()
    assert evaluation.curve.oracle is None
    assert len(evaluation.curve.plain) == 5
    assert len(evaluation.curve.routed) == len(evaluation.curve.random) > 1


# --- what a policy is held against ---


@pytest.fixture(scope="module")
def dropped(short, tmp_path_factory):
    """Recipe, run folder and network of a training whose base learns to do without blocks."""
    recipe = replace(short, base_drop=0.9, base_epochs=2, baselines=True, images_per_epoch=300, budget=1.0)
    run = new_run(tmp_path_factory.mktemp("runs") / "dropped")
    return recipe, run, fit(recipe, run)


def test_plain_network_is_also_trained_the_ordinary_way_where_the_base_drops_blocks(dropped):
    recipe, run, network = dropped
    assert run.finished_stages() == [*STAGES, "ordinary"]
    ordinary = create_backbone("digit_resnet", 10).eval()
    ordinary.load_state_dict(stage_state(run, "ordinary", "last"))
    point = read_baselines(run)[-1]
    assert point.name == "plain network, trained the ordinary way"
    assert point.worth == pytest.approx(accuracy_on_test(recipe, run, ordinary))
    assert point.cost == network.costs.plain


def test_ordinary_training_is_as_long_as_that_of_base_and_stage_two(dropped):
    epochs = [row["epoch"] for row in read_jsonl(dropped[1].metrics) if row["stage"] == "ordinary"]
    assert max(epochs) + 1 == dropped[0].base_epochs + dropped[0].joint_epochs


def test_report_is_held_against_the_most_accurate_plain_network(dropped):
    recipe, run, network = dropped
    evaluation = evaluate_run(run, network, recipe, system="blockdrop", batch_sizes=())
    plain = [point for point in read_baselines(run) if point.name.startswith("plain network")]
    assert len(plain) == 3
    assert evaluation.plain_point.worth == max(point.worth for point in plain)


def test_given_network_is_tested_before_any_training(short, weights, tmp_path):
    file, network = weights
    options = {"backbone": "cifar_resnet8", "weights": str(file), "baselines": True, "images_per_epoch": 30}
    recipe, run = replace(short, **options, base_drop=0.5, joint_rate=0.1), new_run(tmp_path / "run")
    fit(recipe, run)
    points = {point.name: point.worth for point in read_baselines(run)}
    assert points["plain network, as given"] == pytest.approx(accuracy_on_test(recipe, run, network))
    assert "plain network after the base stage" in points
    assert run.finished_stages() == STAGES


@pytest.mark.parametrize(
    ("options", "ends_with"), [({"method": "gates", "norm": "frozen"}, "last"), ({"method": "reinforce"}, "best")]
)
def test_baselines_are_selected_as_the_network_is_and_gates_by_no_reward(
    short, tmp_path, monkeypatch, options, ends_with
):
    asked, run_stage = {}, ClassifierFitting.run_stage

    def watched(fitting, name, module, epochs, loaders=None, monitor="val/accuracy", ends_with="last", **others):
        asked[name] = (monitor, ends_with)
        run_stage(fitting, name, module, epochs, loaders, monitor, ends_with, **others)

    monkeypatch.setattr(ClassifierFitting, "run_stage", watched)
    fit(replace(short, **options, baselines=True), new_run(tmp_path / "run"))
    assert {asked[stage] for stage in ("policy", "joint")} == {("val/reward", ends_with)}
    assert {asked[stage] for stage in STAGES[3:]} == {("val/accuracy", ends_with)}


def test_static_choices_are_all_blocks_the_most_frequent_policy_first_and_random_ones():
    often, seldom = torch.tensor([True, False, True, True, False]), torch.tensor([False, False, False, False, True])
    chosen = static_choices(torch.stack([often, seldom, often, often]), seed=0)  # 2.5 blocks on average
    assert list(chosen) == ["plain", "most_frequent", "first", "random"]
    assert chosen["plain"].all()
    assert torch.equal(chosen["most_frequent"], often)
    assert chosen["first"].tolist() == [True, True, False, False, False]
    assert chosen["random"].sum() == 2


def test_random_choice_depends_on_the_seed_alone():
    routes = torch.ones(4, 30, dtype=torch.bool).index_fill(1, torch.arange(15), False)
    first, again, other = (static_choices(routes, seed)["random"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# --- ways to train ---


@pytest.mark.parametrize(
    "options",
    [
        {"method": "gates", "norm": "frozen"},
        {"norm": "frozen", "reward_usage": "cost"},
        {"entropy": "one_sided", "ema_decay": 0.9},
    ],
    ids=lambda o: next(iter(o.values())),
)
def test_other_ways_to_train_leave_finite_weights(short, tmp_path, options):
    network = fit(replace(short, **options), new_run(tmp_path / "run"))
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_frozen_statistics_are_those_of_the_base(short, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(short, norm="frozen"), run)
    base = {f"backbone.{name}": value for name, value in stage_state(run, "base", "last").items()}
    statistics = {name for name in base if "running_" in name}
    final = network.state_dict()
    assert_same({name: final[name] for name in statistics}, {name: base[name] for name in statistics})


def test_epochs_of_a_few_images_have_as_many_steps(short, tmp_path):
    run = new_run(tmp_path / "run")
    fit(short, run)
    last = {row["stage"]: row["step"] for row in read_jsonl(run.metrics) if "val/accuracy" in row}
    assert last == {"base": 1, "policy": 1, "joint": 1}  # 60 of 300 images in batches of 30, counted from 0


# --- given weights ---


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as other programs write it, and its network."""
    torch.manual_seed(1)
    network = create_backbone("cifar_resnet8", 10)
    state = {
        name.replace("layers.0", "layer1").replace("layers.1", "layer2").replace("layers.2", "layer3"): value
        for name, value in network.state_dict().items()
    }
    file = tmp_path_factory.mktemp("weights") / "resnet8.safetensors"
    save_file(state, file)
    return file, network.eval()


def test_given_weights_are_those_that_the_policy_drops_blocks_of(short, weights, tmp_path):
    file, network = weights
    run = new_run(tmp_path / "run")
    fit(replace(short, backbone="cifar_resnet8", weights=str(file), base_epochs=0, images_per_epoch=30), run)
    assert run.finished_stages() == ["policy", "joint"]
    adapted = BlockDrop("cifar_resnet8", num_classes=10, policy="small")
    adapted.load_state_dict(stage_state(run, "policy", "last"))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(adapted.eval().plain_network()(images), network(images))


def test_weights_of_a_torchvision_network_keep_their_names(tmp_path):
    torch.manual_seed(0)
    plain = create_backbone("resnet18", 10).eval()
    save_file(plain.state_dict(), tmp_path / "resnet18.safetensors")
    filled = read_start("resnet18", str(tmp_path / "resnet18.safetensors")).create(10)
    network = BlockDrop("resnet18", num_classes=10, image_px=32, policy="small", loaded_backbone=filled).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network.plain_network()(images), plain(images))


def test_weights_for_other_classes_need_a_training_of_the_new_head(short, tmp_path):
    save_file(create_backbone("cifar_resnet8", 5).state_dict(), tmp_path / "five.safetensors")
    options = {"backbone": "cifar_resnet8", "weights": str(tmp_path / "five.safetensors"), "base_epochs": 0}
    with pytest.raises(
        RecipeError, match="base_epochs is 0, so a trained backbone must be given: pass weights with a head"
    ):
        fit(replace(short, **options), new_run(tmp_path / "run"))


def test_frozen_trunk_stays_as_given_while_head_and_policy_learn(short, weights, tmp_path):
    file, given = weights
    run = new_run(tmp_path / "run")
    options = {"backbone": "cifar_resnet8", "weights": str(file), "base_epochs": 1, "trunk": "frozen"}
    trained = fit(replace(short, **options, images_per_epoch=30), run).plain_network().state_dict()
    for name, value in given.state_dict().items():
        assert torch.equal(trained[name], value) == (not name.startswith("linear.")), name


def test_weights_of_another_depth_are_refused(short, weights, tmp_path):
    options = {"backbone": "cifar_resnet20", "weights": str(weights[0]), "base_epochs": 0}
    with pytest.raises(WeightsError, match=r"resnet8\.safetensors does not fit cifar_resnet20: \d+ missing"):
        fit(replace(short, **options), new_run(tmp_path / "run"))


def test_weights_that_are_not_finite_are_refused(short, weights, tmp_path):
    state = load_file(weights[0])
    state["layer2.0.conv1.weight"][0] = float("nan")
    save_file(state, tmp_path / "broken.safetensors")
    options = {"backbone": "cifar_resnet8", "weights": str(tmp_path / "broken.safetensors"), "base_epochs": 0}
    with pytest.raises(WeightsError, match=r"not finite, in 'layer2\.0\.conv1\.weight'"):
        fit(replace(short, **options), new_run(tmp_path / "run"))


def test_missing_weights_are_refused(short, tmp_path):
    options = {"backbone": "cifar_resnet8", "weights": str(tmp_path / "none.safetensors"), "base_epochs": 0}
    with pytest.raises(WeightsError, match=r"none\.safetensors does not exist"):
        fit(replace(short, **options), new_run(tmp_path / "run"))


@pytest.mark.parametrize(("policy", "starts"), [("resnet10", True), ("small", False)])
def test_policy_starts_from_the_resnet18_that_the_weights_are(short, policy, starts, tmp_path):
    state = create_backbone("resnet18", 10).state_dict()
    save_file(state, tmp_path / "resnet18.safetensors")
    options = {"policy": policy, "backbone": "resnet18", "weights": str(tmp_path / "resnet18.safetensors")}
    found = read_policy_start(replace(short, **options))
    assert (found is not None) == starts
    if found is not None:
        network = BlockDrop("resnet18", num_classes=10, image_px=32, policy="resnet10")
        start_from_resnet18(network.policy_network, found.state)
        assert torch.equal(network.policy_network[-1].conv1.weight, state["conv1.weight"])


def test_policy_starts_from_the_published_resnet18_whatever_the_backbone(short, no_hub):
    options = {"policy": "resnet10", "backbone": "resnet50", "weights": "published"}
    assert read_policy_start(replace(short, **options)).network == "resnet18"


# --- a curriculum that is too short ---


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        ({"policy_epochs": 5}, ["it frees 3 of 9 blocks, and the policy drops the others untaught; 17 epochs"]),
        ({"policy_epochs": 16}, ["it frees 8 of 9 blocks, and the policy drops the others untaught; 17 epochs"]),
        ({"policy_epochs": 17}, []),
        ({"policy_epochs": 5, "method": "gates", "norm": "frozen"}, []),
    ],
)
def test_curriculum_that_cannot_free_all_blocks_is_warned_of(recipe, caplog, options, warnings):
    warn_of_short_curriculum(replace(recipe, epochs_per_block=2, **options), 9)
    assert len(caplog.messages) == len(warnings)
    assert all(warning in message for warning, message in zip(warnings, caplog.messages, strict=True))


def test_fit_warns_of_a_short_curriculum(short, tmp_path, caplog):
    fit(replace(short, images_per_epoch=30), new_run(tmp_path / "run"))
    assert "policy_epochs 1 leave the curriculum unfinished" in caplog.text


# --- what cannot be trained ---


@pytest.mark.parametrize(("rate", "stage"), [("policy_rate", "policy"), ("joint_rate", "joint")])
@pytest.mark.parametrize("options", [{}, {"method": "gates", "norm": "frozen"}], ids=["rewards", "gates"])
def test_diverging_stage_ends_with_its_name_and_no_bad_checkpoint(short, tmp_path, rate, stage, options):
    run = new_run(tmp_path / "run")
    with pytest.raises(DivergedError, match=f"stage {stage} diverged"):
        fit(replace(short, **{rate: 1e30}, **options, policy_epochs=2, joint_epochs=2), run)
    assert not (run.stage(stage) / "last.ckpt").exists()


def test_distillation_without_a_given_teacher_is_refused(short, tmp_path):
    with pytest.raises(
        RecipeError, match="distillation 1 learns from a backbone that was trained in full: give weights"
    ):
        fit(replace(short, distillation=1.0, base_drop=0.5), new_run(tmp_path / "run"))


def test_network_that_is_trained_here_in_full_can_teach(short, tmp_path):
    taught, untaught = (
        fit(replace(short, method="gates", norm="frozen", distillation=weight), new_run(tmp_path / str(weight)))
        for weight in (0.0, 1.0)
    )
    weights = (network.backbone.state_dict() for network in (taught, untaught))
    assert any(not torch.equal(*pair) for pair in zip(*(state.values() for state in weights), strict=True))


def test_nothing_to_start_from_is_refused(short, tmp_path):
    with pytest.raises(RecipeError, match="base_epochs is 0, so a trained backbone must be given: pass weights"):
        fit(replace(short, base_epochs=0), new_run(tmp_path / "run"))


def test_impossible_budget_is_refused_before_any_work(short, tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"budget 0\.01 is out of reach"):
        fit(replace(short, budget=0.01), run)
    assert not run.stage("base").exists()


def test_backbone_without_droppable_blocks_is_refused(short, tmp_path):
    with pytest.raises(RecipeError, match=r"backbone: backbone VGG has no block that can be bypassed"):
        fit(replace(short, backbone="vgg11"), new_run(tmp_path / "run"))


def test_unknown_backbone_is_refused(short, tmp_path):
    with pytest.raises(RecipeError, match=r"backbone 'digit_resnt' is not known: did you mean digit_resnet"):
        fit(replace(short, backbone="digit_resnt"), new_run(tmp_path / "run"))


def test_missing_data_are_refused(short, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; data can be"):
        fit(replace(short, data=str(tmp_path / "nowhere")), new_run(tmp_path / "run"))
