"""Execution that computes only what the routes ask for: samples are selected, grouped, run and put back in place.

Two forms cover all adaptive networks. `select_run_scatter` serves decisions made before a piece of network runs (which
resolution, keep or drop this block); `run_until_exit` serves decisions made while it runs (leave here or go on).
"""
# N samples, n samples of one group, K classes

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


def select_run_scatter(inputs: Tensor, choices: Tensor, runs: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """For each sample i, ``runs[choices[i]]`` applied to it; each run sees its own samples once, as one batch.

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
    """An uninitialised tensor for ``count`` samples like those of ``part``, channels-last if they are."""
    last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last) and not part.is_contiguous()
    memory_format = torch.channels_last if last else torch.contiguous_format
    shape = (count, *part.shape[1:])
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=memory_format)


def group_rows(choices: Tensor, num_choices: int) -> list[tuple[int, Tensor]]:
    """The rows of each choice that occurs, (choice, rows) by rising choice; rows rise within a group.

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

    logits: Tensor  # (N, K)
    routes: Tensor  # (N,) int64, on the CPU: the index of the exit


def run_until_exit(
    state: Any,  # noqa: ANN401  any nesting of tensors; see Args
    stages: Sequence[Callable[[Any], tuple[Tensor, Any]]],
    leaves: Callable[[int, Tensor, Tensor], Tensor],
) -> Exits:
    """Runs stage after stage, each only on the samples that have not left before it.

    Args:
        state: What the first stage gets: a tensor (N, ...) or any nesting of tuples, lists and dicts of such tensors.
        stages: Functions from a state to ``(logits (n, K), next state)``; after each, the state is cut down to the
            samples that stay.
        leaves: ``leaves(stage, rows, logits)`` tells which samples leave here, (n,) bool; ``rows`` (n,) on the CPU are
            their places in the input. It is not asked after the last stage, where all leave.

    Returns:
        The logits and the exit of every sample, in the order of the input.
    """
    logits, state = stages[0](state)
    output, rows = logits, torch.arange(len(logits))
    routes = torch.zeros(len(logits), dtype=torch.int64)
    for stage, run in enumerate(stages[1:], start=1):
        stay = (~leaves(stage - 1, rows, logits).cpu()).nonzero()[:, 0]  # the one wait for the device per exit
        if not len(stay):
            break
        if len(stay) < len(rows):
            rows, state = rows[stay], _select(state, stay)
        logits, state = run(state)
        output = output.index_copy(0, rows.to(output.device), logits)
        routes[rows] = stage
    return Exits(output, routes)


def _select(state: Any, rows: Tensor) -> Any:  # noqa: ANN401  any nesting of tensors
    if isinstance(state, Tensor):
        return state[rows.to(state.device)]
    if isinstance(state, dict):
        return {key: _select(value, rows) for key, value in state.items()}
    make = getattr(type(state), "_make", type(state))  # a NamedTuple does not take an iterable
    return make(_select(value, rows) for value in state)
