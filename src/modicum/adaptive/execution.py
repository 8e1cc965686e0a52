"""Executes only what routes ask for: samples are selected, grouped, run and put back in place.

Two forms cover all adaptive networks. `select_run_scatter` serves decisions made before a piece of network runs (which
resolution, keep or drop this block); `run_through_exits` serves decisions made while it runs (leave here or go on),
where an exit that nobody can take need not be computed.
"""
# N samples, n samples of one group, m of them that leave, K classes

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


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


def run_through_exits(
    state: Any,  # noqa: ANN401  any nesting of tensors; see Args
    stages: Sequence[Callable[[Any], tuple[Tensor, Any]]],
    leave: Callable[[int, Tensor, Tensor], Leaving],
) -> Exits:
    """Runs stage after stage, each only on the samples that have not left before it.

    Args:
        state: What the first stage gets: a tensor (N, ...) or any nesting of tuples, lists and dicts of such tensors,
            N at least 1.
        stages: Functions from a state to ``(features (n, ...), next state)``. Once all have left, no more are called.
        leave: ``leave(stage, rows, features)`` tells which samples leave here, and their outputs; ``rows`` (n,) on
            the CPU are their places in the input. At the last stage, all must leave.

    Returns:
        The output and the exit of every sample, in the order of the input.

    Raises:
        ValueError: If samples are left over after the last stage.
    """
    rows, routes, output = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), None
    for stage, run in enumerate(stages):
        features, state = run(state)
        if stage == 0:
            rows, routes = torch.arange(len(features)), torch.zeros(len(features), dtype=torch.int64)
        mask, outputs = leave(stage, rows, features)
        if outputs is None:
            continue
        output = _room_for(len(routes), outputs) if output is None else output
        output.index_copy_(0, rows[mask].to(output.device), outputs)
        routes[rows[mask]] = stage
        stay = (~mask).nonzero()[:, 0]
        if not len(stay):
            return Exits(output, routes)
        if len(stay) < len(rows):
            rows, state = rows[stay], _select(state, stay)
    raise ValueError(f"all samples must leave at the last stage, but {len(rows)} did not")


def _select(state: Any, rows: Tensor) -> Any:  # noqa: ANN401  any nesting of tensors
    if isinstance(state, Tensor):
        return state[rows.to(state.device)]
    if isinstance(state, dict):
        return {key: _select(value, rows) for key, value in state.items()}
    make = getattr(type(state), "_make", type(state))  # a NamedTuple does not take an iterable
    return make(_select(value, rows) for value in state)
