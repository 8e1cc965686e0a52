"""Measures how sure each exit of a classifier is.

The confidence of an exit is its largest soft-max probability. Exits differ in how much they overstate it, so the logits
of each may be divided by a temperature of its own (C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern
Neural Networks*, ICML 2017).
"""

# N samples, E exits, K classes
import torch
from torch import Tensor

HALVINGS = 30  # of the range of temperatures; what remains is far below what the choice of samples decides
HOTTEST = 100.0


def confidence_of(logits: Tensor, temperatures: Tensor) -> Tensor:
    """Returns largest soft-max probabilities (...), float32 in [1/K, 1], of logits (..., K) over temperatures (...)."""
    return (logits.float() / temperatures[..., None]).softmax(dim=-1).amax(dim=-1)


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
