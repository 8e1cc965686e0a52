import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.storage.errors import RecipeError
from modicum.training.optimisers import build_optimizer, clip_gradients, configure_optimizer, rate_factor
from modicum.training.recipe import OptimizerOptions, Schedule, SgdOptions

PUBLISHED = Schedule("steps", warmup_epochs=3, step_epochs=20)  # stage 1 of DRNet on ImageNet, 70 epochs


@pytest.mark.parametrize(("progress", "expected"), [(0, 0.04), (0.15, 0.52), (0.3, 1), (0.65, 0.5), (1, 0)])
def test_one_cycle_rises_over_three_tenths_and_falls_to_zero(progress, expected):
    assert rate_factor(Schedule("one_cycle"), progress, epochs=7) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0), (1.5, 0.5), (3, 1), (19.9, 1), (20.1, 0.1), (39.9, 0.1), (40.1, 0.01), (69.9, 1e-3)]
)
def test_steps_warm_up_and_divide_by_ten(epoch, expected):
    assert rate_factor(PUBLISHED, epoch / 70, epochs=70) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 1), (149.9, 1), (150, 0.1), (224.9, 0.1), (225, 0.01), (299.9, 0.01)]
)
def test_milestones_divide_by_ten_at_shares_of_the_stage(epoch, expected):
    assert rate_factor(Schedule("milestones"), epoch / 300, epochs=300) == pytest.approx(expected, rel=1e-12)


def test_milestones_warm_up():
    schedule = Schedule("milestones", warmup_epochs=2, milestones=(0.1,))
    assert rate_factor(schedule, 0.05, epochs=20) == pytest.approx(0.5)
    assert rate_factor(schedule, 0.15, epochs=20) == pytest.approx(0.1)


@pytest.mark.parametrize("milestones", [(0.75, 0.5), (0.5, 0.5), (0.0,), (1.0,), (150.0, 225.0)], ids=str)
def test_impossible_milestones_are_refused(milestones):
    with pytest.raises(RecipeError, match=r"milestones must be rising shares of the stage, each in \(0, 1\), got"):
        Schedule("milestones", milestones=milestones)


def test_steps_without_warm_up_start_at_the_full_rate():
    assert rate_factor(Schedule("steps"), 0, epochs=90) == 1


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.1, (1 + math.cos(0.1 * math.pi)) / 4), (0.2, (1 + math.cos(0.2 * math.pi)) / 2), (1, 0)],
)
def test_cosine_warms_up_and_falls_to_zero(progress, expected):
    assert rate_factor(Schedule("cosine", warmup_epochs=2), progress, epochs=10) == pytest.approx(expected, abs=1e-12)


@given(
    kind=st.sampled_from(["one_cycle", "steps", "milestones", "cosine"]),
    warmup=st.floats(0, 5),
    progress=st.floats(0, 1),
    epochs=st.integers(1, 300),
)
def test_factor_is_a_share(kind, warmup, progress, epochs):
    assert 0 <= rate_factor(Schedule(kind, warmup_epochs=warmup), progress, epochs) <= 1


def attached(steps, epochs):
    return SimpleNamespace(trainer=SimpleNamespace(estimated_stepping_batches=steps, max_epochs=epochs))


def parts(**sizes):
    """Parameters by part."""
    return {part: [torch.nn.Parameter(torch.zeros(size)) for _ in range(size)] for part, size in sizes.items()}


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_each_part_follows_the_schedule_from_its_own_rate_by_batches(kind):
    options = OptimizerOptions(kind, 0.2, part_rates={"pretrained": 0.1})
    configured = configure_optimizer(attached(10, 2), parts(head=1, pretrained=1), options, Schedule("cosine"))
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
    assert configured["lr_scheduler"]["interval"] == "step"


def test_options_reach_sgd():
    options = SgdOptions(learning_rate=0.2, momentum=0.8, weight_decay=1e-3, nesterov=True)
    optimizer = build_optimizer(options.general(), parts(all=1))
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert [group[name] for name in ("lr", "momentum", "weight_decay", "nesterov")] == [0.2, 0.8, 1e-3, True]


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_options_reach_adam(kind):
    options = OptimizerOptions(kind, 0.2, betas=(0.5, 0.9), epsilon=1e-6, weight_decay=1e-3)
    optimizer = build_optimizer(options, parts(all=1))
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group[name] for name in ("lr", "betas", "eps", "weight_decay")] == [0.2, (0.5, 0.9), 1e-6, 1e-3]
    assert group["decoupled_weight_decay"] == (kind == "adamw")


def test_part_without_parameters_has_no_group():
    assert len(build_optimizer(OptimizerOptions(), parts(encoder=0, head=2)).param_groups) == 1


def test_rate_of_a_part_that_is_not_there_is_refused():
    options = OptimizerOptions(part_rates={"encodr": 0.1})
    with pytest.raises(RecipeError, match=r"optimizer.part_rates must be of parts among encoder, head, got encodr"):
        build_optimizer(options, parts(encoder=1, head=1))


def gradient_norm_after_clipping(greatest):
    network = parts(first=1, second=1)
    optimizer = build_optimizer(OptimizerOptions(gradient_clip=greatest), network)
    for group, gradient in zip(network.values(), (3.0, 4.0), strict=True):
        group[0].grad = torch.tensor([gradient])
    clip_gradients(optimizer)
    return math.hypot(*(float(group[0].grad) for group in network.values()))


@pytest.mark.parametrize(("greatest", "expected"), [(0.5, 0.5), (6.0, 5.0), (None, 5.0)])
def test_gradient_of_all_parts_together_is_clipped(greatest, expected):
    assert gradient_norm_after_clipping(greatest) == pytest.approx(expected, rel=1e-4)


def test_clip_is_no_part_of_a_checkpoint():
    stored = build_optimizer(OptimizerOptions(gradient_clip=1.0), parts(all=1)).state_dict()
    assert stored == build_optimizer(OptimizerOptions(), parts(all=1)).state_dict()


def test_clip_outlives_a_checkpoint():
    stored = build_optimizer(OptimizerOptions(), parts(all=1)).state_dict()
    network = parts(all=1)
    optimizer = build_optimizer(OptimizerOptions(gradient_clip=0.5), network)
    optimizer.load_state_dict(stored)
    network["all"][0].grad = torch.tensor([4.0])
    clip_gradients(optimizer)
    assert float(network["all"][0].grad) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("options", [{"warmup_epochs": -1}, {"step_epochs": 0}])
def test_impossible_schedule_is_refused(options):
    with pytest.raises(RecipeError, match="warmup_epochs must be at least 0 and step_epochs above 0, got"):
        Schedule(**options)


@pytest.mark.parametrize("rate", [0, -0.1])
def test_impossible_learning_rate_is_refused(rate):
    with pytest.raises(RecipeError, match=f"optimizer.learning_rate must be above 0, got {rate}"):
        SgdOptions(learning_rate=rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"part_rates": {"encoder": -0.1}}, r"part_rates must be at least 0 each, got {'encoder': -0.1}"),
    ],
)
def test_impossible_optimiser_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        OptimizerOptions(**options)


def test_steps_multiply_by_the_factor_that_is_asked_for():
    halving = Schedule("steps", step_epochs=200, factor=0.5)
    assert rate_factor(halving, 450 / 800, epochs=800) == pytest.approx(0.25)


@pytest.mark.parametrize("factor", [0, 1])
def test_factor_that_does_not_lower_the_rate_is_refused(factor):
    with pytest.raises(RecipeError, match=rf"schedule: factor must be in \(0, 1\), got {factor}"):
        Schedule("steps", factor=factor)
