from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from modicum.adaptive.execution import (
    Leaving,
    group_rows,
    run_through_exits,
    select_run_scatter,
)

CHOICES = st.lists(st.integers(0, 3), max_size=20).map(lambda choices: torch.tensor(choices, dtype=torch.int64))


def refuse(group):
    raise AssertionError("this run was not chosen")


def add(number):
    return lambda group: group + number


def numbers(count):
    return torch.arange(count, dtype=torch.float32)[:, None]


class TestSelectRunScatter:
    @settings(deadline=None, max_examples=50)
    @given(choices=CHOICES)
    def test_each_sample_gets_what_it_chose(self, choices):
        inputs = numbers(len(choices))
        output = select_run_scatter(inputs, choices, [add(100 * index) for index in range(4)])
        assert torch.equal(output, inputs + 100 * choices[:, None])

    @settings(deadline=None, max_examples=50)
    @given(choices=CHOICES)
    def test_each_run_is_called_once_with_its_samples_in_their_order(self, choices):
        inputs, calls = numbers(len(choices)), []
        runs = [lambda group, index=index: calls.append((index, group[:, 0].tolist())) or group for index in range(4)]
        select_run_scatter(inputs, choices, runs)
        chosen = [(index, inputs[choices == index, 0].tolist()) for index in sorted(set(choices.tolist()))]
        assert calls == (chosen or [(0, [])])

    def test_run_that_no_sample_chose_is_not_called(self):
        output = select_run_scatter(numbers(3), torch.tensor([2, 0, 2]), [add(1), refuse, add(5), refuse])
        assert output[:, 0].tolist() == [5, 2, 7]

    def test_input_is_not_copied_where_all_agree(self):
        inputs = numbers(3)
        assert select_run_scatter(inputs, torch.tensor([1, 1, 1]), [refuse, lambda group: group]) is inputs

    def test_input_is_left_alone_where_they_differ(self):
        inputs = numbers(3)
        select_run_scatter(inputs, torch.tensor([1, 0, 1]), [nn.Identity(), lambda group: group.mul_(2)])
        assert torch.equal(inputs, numbers(3))

    def test_empty_batch_learns_its_shape_from_the_first_run(self):
        output = select_run_scatter(torch.empty(0, 3), torch.empty(0, dtype=torch.int64), [nn.Linear(3, 5), refuse])
        assert output.shape == (0, 5)

    def test_shape_and_type_are_those_of_the_runs(self):
        runs = [lambda group: group.double().expand(-1, 4), lambda group: -group.double().expand(-1, 4)]
        output = select_run_scatter(numbers(3), torch.tensor([0, 1, 0]), runs)
        assert output.dtype == torch.float64
        assert output.tolist() == [[0] * 4, [-1] * 4, [2] * 4]

    def test_keep_vector_may_choose(self):
        output = select_run_scatter(numbers(3), torch.tensor([True, False, True]), [nn.Identity(), add(10)])
        assert output[:, 0].tolist() == [10, 1, 12]

    def test_input_need_not_be_contiguous(self):
        inputs = torch.arange(12.0).reshape(3, 4).T
        output = select_run_scatter(inputs, torch.tensor([0, 1, 0, 1]), [nn.Identity(), torch.neg])
        assert torch.equal(output, inputs * torch.tensor([1, -1, 1, -1])[:, None])

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_stays(self, dtype):
        output = select_run_scatter(numbers(2).to(dtype), torch.tensor([0, 1]), [nn.Identity(), add(1)])
        assert output.dtype == dtype
        assert output[:, 0].tolist() == [0, 2]

    def test_gradient_equals_that_of_the_masked_reference(self):
        torch.manual_seed(0)
        runs = nn.ModuleList(nn.Linear(3, 2) for _ in range(3))
        inputs, choices = torch.randn(6, 3, requires_grad=True), torch.tensor([0, 1, 0, 1, 1, 0])
        wanted = [inputs, *runs[0].parameters(), *runs[1].parameters()]
        routed = torch.autograd.grad(select_run_scatter(inputs, choices, list(runs)).square().sum(), wanted)
        masked = sum((choices == index)[:, None] * run(inputs) for index, run in enumerate(runs))
        assert_close(routed, torch.autograd.grad(masked.square().sum(), wanted))

    def test_too_few_choices_are_refused(self):
        with pytest.raises(ValueError, match="choices must name one run per sample, got 2 for 3 samples"):
            select_run_scatter(numbers(3), torch.tensor([0, 1]), [refuse, refuse])

    @pytest.mark.parametrize(("wrong", "found"), [(-1, "-1, 0"), (2, "0, 2")])
    def test_choice_of_no_run_is_refused(self, wrong, found):
        with pytest.raises(ValueError, match=rf"choices must lie in \[0, 2\), got \[{found}\]"):
            select_run_scatter(numbers(3), torch.tensor([0, wrong, 0]), [refuse, refuse])


class TestGroupRows:
    @settings(deadline=None, max_examples=50)
    @given(choices=CHOICES)
    def test_rows_of_every_choice_that_occurs(self, choices):
        groups = [(choice, rows.tolist()) for choice, rows in group_rows(choices, 4)]
        assert groups == [
            (choice, (choices == choice).nonzero()[:, 0].tolist()) for choice in sorted(set(choices.tolist()))
        ]

    @settings(deadline=None, max_examples=50)
    @given(choices=CHOICES)
    def test_every_row_is_in_one_group(self, choices):
        rows = [row for _, rows in group_rows(choices, 4) for row in rows.tolist()]
        assert sorted(rows) == list(range(len(choices)))


class State(NamedTuple):
    features: torch.Tensor
    extra: dict


def test_mixed_groups_keep_channels_last():
    images = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    output = select_run_scatter(images, torch.tensor([0, 1, 0, 1]), [torch.neg, torch.abs])
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(output[0], -images[0])


class TestRunThroughExits:
    """Samples are their own numbers; stage s hands on their features (sample, s) and answers with them."""

    @staticmethod
    def stages(seen, number=3):
        def stage(index):
            def run(state):
                seen.append(state[0][:, 0].tolist())
                return torch.cat([state[0], torch.full_like(state[0], index)], dim=1), state

            return run

        return [stage(index) for index in range(number)]

    @staticmethod
    def leave_at(exits):
        def leave(stage, rows, features):
            mask = exits[rows] == stage
            return Leaving(mask, features[mask] if mask.any() else None)

        return leave

    @settings(deadline=None, max_examples=50)
    @given(exits=st.lists(st.integers(0, 2), min_size=1, max_size=12))
    def test_each_sample_leaves_where_it_should(self, exits):
        exits = torch.tensor(exits)
        logits, routes = run_through_exits((numbers(len(exits)),), self.stages([]), self.leave_at(exits))
        assert torch.equal(routes, exits)
        assert torch.equal(logits, torch.cat([numbers(len(exits)), exits[:, None].float()], dim=1))

    def test_later_stages_get_those_alone_that_have_not_left(self):
        seen = []
        run_through_exits((numbers(4),), self.stages(seen), self.leave_at(torch.tensor([0, 1, 2, 2])))
        assert seen == [[0, 1, 2, 3], [1, 2, 3], [2, 3]]

    def test_exit_gets_those_alone_that_have_not_left(self):
        asked = []

        def leave(stage, rows, features):
            asked.append((stage, rows.tolist(), features[:, 0].tolist()))
            return self.leave_at(torch.tensor([1, 0, 2]))(stage, rows, features)

        run_through_exits((numbers(3),), self.stages([]), leave)
        assert asked == [(0, [0, 1, 2], [0, 1, 2]), (1, [0, 2], [0, 2]), (2, [2], [2])]

    def test_later_stages_are_not_called_once_all_have_left(self):
        exits = run_through_exits((numbers(2),), [*self.stages([], 1), refuse], self.leave_at(torch.tensor([0, 0])))
        assert exits.routes.tolist() == [0, 0]

    def test_samples_left_over_are_refused(self):
        with pytest.raises(ValueError, match="all samples must leave at the last stage, but 1 did not"):
            run_through_exits((numbers(2),), self.stages([]), self.leave_at(torch.tensor([0, 3])))

    @pytest.mark.parametrize(
        "pack",
        [
            lambda samples: (samples, (samples, samples)),
            lambda samples: (samples, list(samples)),
            lambda samples: {"fine": samples, "coarse": (samples,)},
            lambda samples: State(samples, {"coarse": samples}),
        ],
        ids=["tuple", "list of samples", "dict", "NamedTuple"],
    )
    def test_state_may_nest_tensors(self, pack):
        received, expected = [], pack(numbers(3)[1:2])
        first = lambda state: (numbers(3), state)  # noqa: E731
        second = lambda state: received.append(state) or (numbers(1), state)  # noqa: E731
        run_through_exits(pack(numbers(3)), [first, second], self.leave_at(torch.tensor([0, 1, 0])))
        assert type(received[0]) is type(expected)
        assert_close(received[0], expected)

    def test_gradient_reaches_every_stage(self):
        torch.manual_seed(0)
        first, second = nn.Linear(1, 2), nn.Linear(1, 2)
        stages = [lambda x: (first(x), x), lambda x: (second(x), x)]
        logits, _ = run_through_exits(numbers(4), stages, self.leave_at(torch.tensor([0, 0, 1, 1])))
        logits.sum().backward()
        assert first.weight.grad.tolist() == [[1], [1]]  # of samples 0 and 1
        assert second.weight.grad.tolist() == [[5], [5]]  # of samples 2 and 3
