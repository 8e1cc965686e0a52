"""Trains R-net on cached detections, and tells how well it ranks what looking closer gains."""
# N detections, I images

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.overlaps import Numbers
from modicum.detect.zoom.gains import untrained_gains
from modicum.detect.zoom.matching import Matches
from modicum.detect.zoom.rnet import BoxInputs, RNet, box_inputs
from modicum.storage.errors import DivergedError

LEAST_STEPS = 600  # a few labelled pictures are a few batches: epochs alone would stop too early


@dataclass(frozen=True)
class RNetTraining:
    """How R-net follows its targets.

    Attributes:
        epochs: Passes over all detections.
        least_steps: Steps that are taken however few detections there are.
        batch_size: Detections per step.
        rate: Highest learning rate; it falls to 0 along a cosine.
        weight_decay: Of AdamW.
        huber: Error from which on the loss is linear, so that few large errors count less; None: squared error, as in
            the paper.
        seed: Of the order of detections and of dropout.
    """

    epochs: int = 20
    least_steps: int = LEAST_STEPS
    batch_size: int = 256
    rate: float = 1e-3
    weight_decay: float = 1e-2
    huber: float | None = 0.5
    seed: int = 0


class GainPairs(NamedTuple):
    """Detections of several images and what looking closer gains."""

    inputs: BoxInputs  # of N detections
    gains: Tensor  # (N,)
    scores: Tensor  # (N,): calibrated, of the coarse pass
    images: Tensor  # (N,) int64: the number of the image that each belongs to


class GainFit(NamedTuple):
    """How well predicted gains follow true ones on images that they were not fitted on."""

    r2: float  # 1 - squared error over variance; below 0 where the mean gain predicts better
    correlation: float
    rank_correlation: float
    entropy_rank_correlation: float  # of the entropy of the score, which needs no training
    num_detections: int


def gain_pairs(found: Sequence[Detections], matches: Sequence[Matches], sizes: Sequence[tuple[int, int]]) -> GainPairs:
    """Joins the detections that count, of I images.

    Args:
        found: The coarse detections that were matched, with calibrated scores.
        matches: Of the same images.
        sizes: Width and height of these images.

    Raises:
        ValueError: If no detection counts.
    """
    rows = [torch.from_numpy(each.counts) for each in matches]
    inputs = [box_inputs(own.take(kept), *size) for own, kept, size in zip(found, rows, sizes, strict=True)]
    numbers = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([int(kept.sum()) for kept in rows]))
    if not len(numbers):
        raise ValueError(
            "no coarse detection counts, so there is nothing to learn gains from: lower the score threshold"
        )
    return GainPairs(
        _join_inputs(inputs),
        torch.cat([torch.from_numpy(each.gains).float()[kept] for each, kept in zip(matches, rows, strict=True)]),
        torch.cat([own.scores[kept] for own, kept in zip(found, rows, strict=True)]),
        numbers,
    )


def train_rnet(rnet: RNet, pairs: GainPairs, how: RNetTraining | None = None) -> list[float]:
    """Fits R-net to the gains; leaves it in evaluation mode.

    Returns:
        The mean loss of each pass.

    Raises:
        DivergedError: If the loss is not a finite number.
    """
    how = how or RNetTraining()
    rnet.standardise_on(pairs.inputs.geometry)
    generator = torch.Generator().manual_seed(how.seed)
    steps_per_pass = -(-len(pairs.gains) // how.batch_size)
    passes = max(how.epochs, -(-how.least_steps // steps_per_pass))
    optimizer = torch.optim.AdamW(rnet.parameters(), lr=how.rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, passes * steps_per_pass)
    history = []
    rnet.train()
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        torch.manual_seed(how.seed)
        for _ in range(passes):
            losses = []
            for rows in torch.split(torch.randperm(len(pairs.gains), generator=generator), how.batch_size):
                loss = gain_loss(rnet(*_take_inputs(pairs.inputs, rows)), pairs.gains[rows], how.huber)
                take_step(optimizer, loss)
                schedule.step()
                losses.append(loss.detach())
            history.append(mean_loss(losses))
    rnet.eval()
    return history


def gain_loss(predicted: Tensor, gains: Tensor, huber: float | None) -> Tensor:
    """Returns the mean squared error, or Huber's loss, which is half of it where errors are below ``huber``."""
    return F.mse_loss(predicted, gains) if huber is None else F.huber_loss(predicted, gains, delta=huber)


@torch.inference_mode()
def assess_rnet(rnet: RNet, pairs: GainPairs) -> GainFit:
    """Compares predicted with true gains on held-out images, beside the entropy of the coarse score."""
    predicted = rnet(*pairs.inputs).double().cpu().numpy()
    true, entropy = pairs.gains.double().numpy(), untrained_gains(pairs.scores.double().numpy(), "entropy")
    variance = float(true.var())
    return GainFit(
        r2=1 - float(((true - predicted) ** 2).mean()) / variance if variance else float("nan"),
        correlation=_correlation(predicted, true),
        rank_correlation=_correlation(rankdata(predicted), rankdata(true)),
        entropy_rank_correlation=_correlation(rankdata(entropy), rankdata(true)),
        num_detections=len(true),
    )


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Follows the gradient of a loss by one step."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


def mean_loss(losses: Sequence[Tensor]) -> float:
    """Returns the mean of losses.

    Raises:
        DivergedError: If it is not a finite number.
    """
    mean = float(torch.stack(list(losses)).mean())
    if not np.isfinite(mean):
        raise DivergedError(f"the loss of R-net is {mean}: lower the learning rate")
    return mean


def _join_inputs(parts: Sequence[BoxInputs]) -> BoxInputs:
    features = [part.features for part in parts if part.features is not None]
    return BoxInputs(
        torch.cat([part.geometry for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat(features) if len(features) == len(parts) else None,
    )


def _take_inputs(inputs: BoxInputs, rows: Tensor) -> BoxInputs:
    features = None if inputs.features is None else inputs.features[rows]
    return BoxInputs(inputs.geometry[rows], inputs.labels[rows], features)


def _correlation(first: Numbers, second: Numbers) -> float:
    """Returns Pearson's correlation; NaN where either is constant."""
    a, b = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")
