"""Executes only what routes ask for: samples are selected, grouped, run and put back in place.

Two forms cover all adaptive networks. `select_run_scatter` serves decisions made before a piece of network runs (which
resolution, keep or drop this block); `run_through_exits` serves decisions made while it runs (leave here or go on),
where an exit that no sample can take need not be computed.

Each can be taken step by step, too, so that samples of several calls share a step: `decide_then_run` and `pass_exit`.
"""
# N samples, n samples of one group, m of them that leave, K classes

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from modicum.adaptive.contract import AdaptiveNetwork, Group, Routed, Stepped
from modicum.adaptive.samples import Inputs, Outputs, Routes, count, join, take

Stage = Callable[[Any], tuple[Tensor, Any]]
"""From a state to ``(features (n, ...), next state)``, nested as `modicum.adaptive.samples` takes it."""


def select_run_scatter(inputs: Tensor, choices: Tensor, runs: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Applies ``runs[choices[i]]`` to each sample i; each run sees its own samples once, as one batch.

    Args:
        inputs: Shape (N, ...).
        choices: Shape (N,), integers in [0, len(runs)). Best on the CPU: on another device it is copied here, which
            waits for that device once.
        runs: Functions from (n, ...) to (n, ...), alike in the shape and type of what they return.

    Returns:
        Shape (N, ...), in the order of ``inputs``. A run that no sample chose is not called; only an empty batch calls
        ``runs[0]``, to learn the shape of its output.

    Raises:
        ValueError: If ``choices`` names a run that does not exist or does not match ``inputs`` in length.

    Example:
        >>> double, negate = (lambda x: 2 * x), (lambda x: -x)
        >>> select_run_scatter(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 0]), [double, negate])
        tensor([ 2., -2.,  6.])
    """
    groups = group_rows(choices, len(runs))
    if len(choices) != len(inputs):
        raise ValueError(f"choices must name one run per sample, got {len(choices)} for {len(inputs)} samples")
    if len(groups) == 1:  # no copies where all samples agree
        return runs[groups[0][0]](inputs)
    output: Tensor | None = None
    for choice, rows in groups:
        rows = rows.to(inputs.device, non_blocking=True)
        part = runs[choice](inputs[rows])
        if output is None:
            output = _room_for(len(inputs), part)
        output.index_copy_(0, rows, part)
    return runs[0](inputs) if output is None else output


def _room_for(count: int, part: Tensor) -> Tensor:
    """Returns an uninitialised tensor for ``count`` samples like those of ``part``, channels-last if they are."""
    last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last) and not part.is_contiguous()
    memory_format = torch.channels_last if last else torch.contiguous_format
    shape = (count, *part.shape[1:])
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=memory_format)


def group_rows(choices: Tensor, num_choices: int) -> list[tuple[int, Tensor]]:
    """Groups the rows of each choice that occurs, (choice, rows) by rising choice; rows rise within a group.

    Raises:
        ValueError: If a choice lies outside [0, num_choices).
    """
    choices = choices.to("cpu", torch.int64)
    if len(choices) and not 0 <= int(choices.min()) <= int(choices.max()) < num_choices:
        raise ValueError(f"choices must lie in [0, {num_choices}), got {sorted(set(choices.tolist()))}")
    counts = choices.bincount(minlength=num_choices).tolist()
    ordered = torch.split(choices.argsort(stable=True), counts)
    return [(choice, rows) for choice, rows in enumerate(ordered) if len(rows)]


class Exits(NamedTuple):
    """Where each sample left and what it left with."""

    outputs: Tensor  # (N, K), e.g. logits
    routes: Tensor  # (N,) int64, on the CPU: the index of the exit


class Leaving(NamedTuple):
    """Who of some samples leaves at an exit, and with what."""

    mask: Tensor  # (n,) bool, on the CPU
    outputs: Tensor | None  # (m, K) of those that leave, in order; None where nobody does


Leave = Callable[[int, Tensor, Tensor], Leaving]
"""``leave(stage, rows, features)`` tells which samples leave behind a stage; ``rows`` (n,) are their places."""


def run_through_exits(
    state: Any,  # noqa: ANN401  any nesting of samples; see Args
    stages: Sequence[Stage],
    leave: Leave,
) -> Exits:
    """Runs stage after stage, each only on the samples that have not left before it.

    Args:
        state: What the first stage gets: tensors (N, ...) or lists of N items, or tuples and dicts of such.
        stages: Once all have left, no more are called.
        leave: At the last stage, all must leave; of an empty batch, "all" with outputs (0, K) at the first.

    Returns:
        The output and the exit of every sample, in the order of the input.

    Raises:
        ValueError: If samples are left over after the last stage.
    """
    group, left, parts = Group(0, torch.arange(count(state)), state), [], []
    for _ in stages:
        rows, exits, survivors = pass_exit(group, stages, leave)
        if exits is not None:
            left.append(rows)
            parts.append(exits)
        if not survivors:  # of one image, or where all left together, nothing has to be put back in place
            return parts[0] if len(parts) == 1 else take(join(parts), torch.cat(left).argsort())
        (group,) = survivors
    raise ValueError(f"all samples must leave at the last stage, but {len(group.rows)} did not")


class Passed(NamedTuple):
    """Holds the result of one stage with a group."""

    rows: Tensor  # (m,) int64, on the CPU: the places of those that leave
    exits: Exits | None  # of these m; None where nobody leaves
    survivors: list[Group]  # the others, if there are any, as one group


def pass_exit(group: Group, stages: Sequence[Stage], leave: Leave) -> Passed:
    """Takes one step of `run_through_exits`: the stage whose number is the group's key."""
    stage, rows = group.key, group.rows
    assert isinstance(stage, int)
    features, state = stages[stage](group.state)
    mask, outputs = leave(stage, rows, features)
    if outputs is None:
        return Passed(rows[:0], None, [Group(stage + 1, rows, state)])
    left, stay = rows[mask], (~mask).nonzero()[:, 0]
    exits = Exits(outputs, torch.full_like(left, stage))
    if not len(stay):
        return Passed(left, exits, [])
    if len(left):
        rows, state = take((rows, state), stay)
    return Passed(left, exits, [Group(stage + 1, rows, state)])


def decide_then_run(
    network: AdaptiveNetwork[Inputs, Routes, Outputs],
    group: Group,
    knob: float,
    keys: Callable[[Routes], Sequence[Hashable]] | None = None,
) -> Stepped[Outputs, Routes]:
    """Takes one of the two steps of a network that decides before it runs.

    Args:
        network: The network.
        group: Samples that wait for the decision, or for the run.
        knob: Of the decision.
        keys: From routes to what has to be equal for samples to run together; None: samples of all routes can.
    """
    if group.is_decided:
        inputs, routes = group.state
        return Stepped(group.rows, run_routes(network, inputs, routes), [])
    routes = network.policy.decide(network.scores(group.state), knob)
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(["run"] * len(routes) if keys is None else keys(routes)):
        places.setdefault(key, []).append(place)
    survivors = [
        Group(key, *take((group.rows, (group.state, routes)), torch.tensor(chosen)), is_decided=True)
        for key, chosen in places.items()
    ]
    return Stepped(group.rows[:0], None, survivors)


def decide_and_run(
    network: AdaptiveNetwork[Inputs, Routes, Outputs], inputs: Inputs, knob: float
) -> Routed[Outputs, Routes]:
    """Takes both steps of `decide_then_run` at once."""
    return run_routes(network, inputs, network.policy.decide(network.scores(inputs), knob))


def run_routes(
    network: AdaptiveNetwork[Inputs, Routes, Outputs], inputs: Inputs, routes: Routes
) -> Routed[Outputs, Routes]:
    """Runs samples on given routes, with their cost."""
    return Routed(network.run(inputs, routes), routes, network.costs.of(routes))
