"""Measures how sure each exit of a classifier, or each member of a cascade, is.

The confidence of an exit is its largest soft-max probability; a cascade may use other measures of its probabilities.
Exits differ in how much they overstate it, so the logits of each may be divided by a temperature of its own (C. Guo, G.
Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017).
"""

# N samples, E exits, M members, K classes
import math

import torch
from torch import Tensor

from modicum.classify.confidence_names import ConfidenceName

HALVINGS = 30  # of the range of temperatures; what remains is far below what the choice of samples decides
HOTTEST = 100.0
TINIEST = 1e-30  # of a probability, so that its logarithm is finite


def confidence_of(logits: Tensor, temperatures: Tensor) -> Tensor:
    """Returns largest soft-max probabilities (...), float32 in [1/K, 1], of logits (..., K) over temperatures (...)."""
    return (logits.float() / temperatures[..., None]).softmax(dim=-1).amax(dim=-1)


def average_answers(probabilities: Tensor) -> Tensor:
    """Returns, at each member (N, M, K), the mean of its probabilities and of those of the members before it."""
    members = torch.arange(1, probabilities.shape[1] + 1, device=probabilities.device)
    return probabilities.cumsum(dim=1) / members[:, None]


def average_logs(logits: Tensor, temperatures: Tensor) -> Tensor:
    """Returns, at each exit (N, E, K), the logarithm of the mean probabilities of it and the exits before it.

    Args:
        logits: Shape (N, E, K), of each exit by itself.
        temperatures: Shape (E,), that these are divided by.
    """
    total = (logits.float() / temperatures[:, None]).softmax(dim=2).cumsum(dim=1)
    return log_mean(total, torch.arange(1, len(temperatures) + 1, device=total.device)[:, None])


def log_mean(total: Tensor, count: Tensor | int) -> Tensor:
    """Returns the finite logarithm of a sum of probabilities over how many there are; both broadcast."""
    return (total / count).clamp_min(TINIEST).log()


def sureness(answers: Tensor, name: ConfidenceName, agree: Tensor | None = None) -> Tensor:
    """Returns how sure answers are, in [0, 1], higher where surer.

    Args:
        answers: Probabilities (..., K), K at least 2.
        name: "margin" is the best probability less the second best, "probability" the best, "entropy" one less the
            entropy as a share of its largest, and "agreement" the margin, but 0 where members disagree.
        agree: Shape (...), bool, for "agreement": whether all members so far name the same class.
    """
    if name == "entropy":
        entropy = torch.special.entr(answers).sum(dim=-1)
        surest: Tensor = 1 - entropy / math.log(answers.shape[-1])
        return surest.clamp(0, 1)
    best = answers.topk(2, dim=-1).values
    if name == "probability":
        return best[..., 0]
    margin = best[..., 0] - best[..., 1]
    if name == "agreement":
        assert agree is not None
        return margin * agree
    return margin


def agreement(probabilities: Tensor) -> Tensor:
    """Tells at each member, (N, M) bool, whether it and those before it name the same class; of (N, M, K)."""
    named = probabilities.argmax(dim=-1)
    return (named == named[:, :1]).int().cummin(dim=1).values.bool()


def fit_temperatures(logits: Tensor, labels: Tensor) -> Tensor:
    """Fits the temperature (E,) of each exit at which the labels are most likely, in [0.01, 100].

    Args:
        logits: Shape (N, E, K), N at least 1.
        labels: Shape (N,), int64.
    """
    return torch.stack([_fit_temperature(logits[:, index].float(), labels) for index in range(logits.shape[1])])


def check_outcomes(logits: Tensor, labels: Tensor, num_exits: int, num_classes: int) -> None:
    """Raises a ValueError unless the exits' answers to calibration samples can be fitted on.

    Args:
        logits: Should be of shape (N, E, K), N at least 1, and finite.
        labels: Shape (N,).
        num_exits: Exits E.
        num_classes: Classes K.
    """
    if not len(labels) or logits.shape != (len(labels), num_exits, num_classes):
        raise ValueError(
            f"logits must be (N, {num_exits}, {num_classes}) with one label each, N at least 1, "
            f"got {tuple(logits.shape)} for {len(labels)} labels"
        )
    if not logits.isfinite().all():
        raise ValueError("logits must be finite: the network diverged in training, or met damaged images")


def _fit_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Bisects where the likelihood's slope in the inverse temperature changes sign: it is concave in that."""
    right = logits.gather(1, labels[:, None])[:, 0]
    low, high = torch.tensor(HOTTEST).log().neg(), torch.tensor(HOTTEST).log()  # of the inverse, on a log scale
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((logits * middle.exp()).softmax(dim=1) * logits).sum(dim=1)
        low, high = (middle, high) if (right - expected).double().mean() > 0 else (low, middle)
    return (-(low + high) / 2).exp()
