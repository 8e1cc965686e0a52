import pytest

from modicum.training.progress import Rhythm, StagePlan, time_left

PLAN = StagePlan({"base": 3, "policy": 10, "joint": 4})


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "done"),
        (3, "less than 1 min left"),
        (44, "less than 1 min left"),
        (50, "about 1 min left"),
        (170, "about 3 min left"),
        (3580, "about 1 h left"),
        (7900, "about 2 h 10 min left"),
        (86_300, "about 1 day left"),
        (259_200, "about 3 days left"),
    ],
)
def test_time_left_is_told_as_roughly_as_it_is_known(seconds, told):
    assert time_left(seconds) == told


def test_place_of_a_stage_counts_from_one():
    assert [PLAN.place(stage) for stage in PLAN.epochs] == ["stage 1 of 3", "stage 2 of 3", "stage 3 of 3"]


def test_epochs_that_follow_are_those_of_later_stages():
    assert [PLAN.epochs_after(stage) for stage in PLAN.epochs] == [14, 4, 0]


def test_stage_that_is_not_planned_is_refused():
    with pytest.raises(ValueError, match="stage 'plain' is not planned; the stages are base, policy, joint"):
        PLAN.place("plain")


@pytest.mark.parametrize(("hours", "lines"), [(0.01, 7), (1, 288), (10, 516)])
def test_long_trainings_are_told_in_few_lines(hours, lines):
    now = 0.0
    rhythm = Rhythm(5, lambda: now)
    count = 0
    for second in range(int(3600 * hours)):
        now = float(second)
        count += rhythm.is_due()
    assert count == lines
