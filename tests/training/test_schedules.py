import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.storage.errors import RecipeError
from modicum.training.recipe import OptimizerOptions, Schedule
from modicum.training.schedules import configure_adam, configure_sgd, rate_factor

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


def test_each_group_follows_the_schedule_from_its_own_rate():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.02}]
    configured = configure_sgd(attached(10, 2), groups, OptimizerOptions(learning_rate=0.2), Schedule("cosine"))
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])


def test_schedule_moves_with_every_batch():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]}]
    configured = configure_sgd(attached(10, 2), groups, OptimizerOptions(), Schedule())
    assert configured["lr_scheduler"]["interval"] == "step"


def test_optimiser_options_reach_the_optimiser():
    options = OptimizerOptions(learning_rate=0.2, momentum=0.8, weight_decay=1e-3, nesterov=True)
    configured = configure_sgd(attached(10, 2), [{"params": [torch.nn.Parameter(torch.zeros(1))]}], options, Schedule())
    group = configured["optimizer"].param_groups[0]
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.8, 1e-3, True)


def test_adam_decays_no_weight_and_follows_the_schedule_from_the_rate_of_each_group():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.02}]
    configured = configure_adam(attached(10, 2), groups, 0.2, Schedule("cosine"))
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0}
    assert configured["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("options", [{"warmup_epochs": -1}, {"step_epochs": 0}])
def test_impossible_schedule_is_refused(options):
    with pytest.raises(RecipeError, match="warmup_epochs must be at least 0 and step_epochs above 0, got"):
        Schedule(**options)


@pytest.mark.parametrize("rate", [0, -0.1])
def test_impossible_learning_rate_is_refused(rate):
    with pytest.raises(RecipeError, match=f"learning_rate must be above 0, got {rate}"):
        OptimizerOptions(learning_rate=rate)


def test_steps_multiply_by_the_factor_that_is_asked_for():
    halving = Schedule("steps", step_epochs=200, factor=0.5)
    assert rate_factor(halving, 450 / 800, epochs=800) == pytest.approx(0.25)


@pytest.mark.parametrize("factor", [0, 1])
def test_factor_that_does_not_lower_the_rate_is_refused(factor):
    with pytest.raises(RecipeError, match=rf"schedule: factor must be in \(0, 1\), got {factor}"):
        Schedule("steps", factor=factor)
