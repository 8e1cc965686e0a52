"""Improves answers until the caller stops, or to the best one by a deadline (Yang et al., CVPR 2020, section 4.1)."""

# B batch, E exits, K classes
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.classify.confidence import log_mean
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.segments import Segment, State
from modicum.measuring.timing import time_in_turn


class Answer(NamedTuple):
    """What one exit says to all images of a batch."""

    exit: int  # in [0, E)
    logits: Tensor  # (B, K)
    macs: float  # multiply-adds per image so far


@torch.inference_mode()
def anytime(network: RANet, images: Tensor) -> Iterator[Answer]:
    """Yields the answers of all exits to ``images`` (B, 3, H, W), in order, each computed when it is requested.

    Every exit answers for all images; none leaves early. Stop iterating to stop computing. Where the network averages
    its exits, an answer is the mean of the exits so far.

    Raises:
        ValueError: If the images are not of the network's size, at the first answer.
    """
    network.check_images(images)
    state, total = State.start(network.stem(images)), torch.zeros((), device=images.device)
    for index, segment in enumerate(network.segments):
        state = segment(state)
        logits = segment.head(state.x)
        if network.average_exits:
            total = total + (logits.float() / network.temperatures.values()[index]).softmax(dim=1)
            logits = log_mean(total, index + 1)
        yield Answer(index, logits, network.costs.per_route[index])


def predict_within(
    network: RANet, images: Tensor, deadline_ms: float, *, segment_ms: Sequence[float] | None = None
) -> Answer:
    """Returns the answer of the latest exit reached by the deadline, or of the first exit if none is.

    Without ``segment_ms``, a segment is started as long as there is time left, so the answer may be late by up to one
    segment. With it, no segment is started that would not finish in time.

    Args:
        network: In evaluation mode.
        images: Shape (B, 3, H, W).
        deadline_ms: Milliseconds from the call on.
        segment_ms: Milliseconds of each segment for a batch of this size on this device, as `measure_segments` gives.

    Raises:
        ValueError: If ``segment_ms`` does not have one entry per exit.
    """
    num_exits = network.structure.num_exits
    if segment_ms is not None and len(segment_ms) != num_exits:
        raise ValueError(f"segment_ms must have one entry per exit, {num_exits}, got {len(segment_ms)}")
    end = time.perf_counter() + deadline_ms / 1000
    answers = anytime(network, images)
    answer = next(answers)
    for index in range(1, num_exits):
        _wait_for(answer.logits)
        ahead = 0.0 if segment_ms is None else segment_ms[index] / 1000
        if time.perf_counter() + ahead >= end:
            break
        answer = next(answers)
    return answer


@torch.inference_mode()
def measure_segments(network: RANet, images: Tensor, *, rounds: int = 5) -> tuple[float, ...]:
    """Measures the median milliseconds per segment, exit included, on ``images`` (B, 3, H, W); the first has the stem.

    Args:
        network: In evaluation mode.
        images: A batch of the expected size; its content does not matter.
        rounds: Readings per segment.
    """
    network.check_images(images)
    state, milliseconds = State.start(network.stem(images)), []
    stem_ms = 1000 * time_in_turn({"stem": lambda: network.stem(images)}, rounds=rounds)["stem"]
    for segment in network.segments:
        run = partial(_answer, segment, state)
        milliseconds.append(1000 * time_in_turn({"segment": run}, rounds=rounds)["segment"])
        state = segment(state)
    return (milliseconds[0] + stem_ms, *milliseconds[1:])


def _answer(segment: Segment, state: State) -> None:
    segment.head(segment(state).x)


def _wait_for(answer: Tensor) -> None:
    """Waits until an accelerator has computed the answer; before, the clock says nothing."""
    if answer.is_cuda:
        torch.cuda.synchronize(answer.device)
