"""How sure each exit is.

The confidence of an exit is its largest soft-max probability. Exits differ in how much they overstate it, so each may
be divided by its own temperature (C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural Networks*,
ICML 2017).
"""

# N samples, E exits, K classes
import torch
from torch import Tensor

HALVINGS = 30  # of the range of temperatures; what remains is far below what the choice of samples decides
HOTTEST = 100.0


def confidence_of(logits: Tensor, temperatures: Tensor) -> Tensor:
    """Largest soft-max probabilities (...), float32 in [1/K, 1], of logits (..., K) over temperatures (...)."""
    return (logits.float() / temperatures[..., None]).softmax(dim=-1).amax(dim=-1)


def fit_temperatures(logits: Tensor, labels: Tensor) -> Tensor:
    """The temperature (E,) of each exit at which the labels are most likely, in [0.01, 100].

    Args:
        logits: Shape (N, E, K), N at least 1.
        labels: Shape (N,), int64.
    """
    return torch.stack([_fit_temperature(logits[:, index].float(), labels) for index in range(logits.shape[1])])


def _fit_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Bisects where the likelihood's slope in the inverse temperature changes sign: it is concave in that."""
    right = logits.gather(1, labels[:, None])[:, 0]
    low, high = torch.tensor(HOTTEST).log().neg(), torch.tensor(HOTTEST).log()  # of the inverse, on a log scale
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((logits * middle.exp()).softmax(dim=1) * logits).sum(dim=1)
        low, high = (middle, high) if (right - expected).double().mean() > 0 else (low, middle)
    return (-(low + high) / 2).exp()
