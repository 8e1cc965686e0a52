"""Fits the linear heads of a frozen trunk by logistic regression, and computes their answers out of fold."""

# n images, B blocks of features, D features in all, r <= n dimensions, K classes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from modicum.storage.errors import DataError

MOST_ITERATIONS = 500  # of the solver, which needs 20 to 60
SMALLEST_DEVIATION = 1e-6  # of a feature that hardly varies
MOST_EXACT = 2048  # images or features, whichever are fewer, whose span is kept whole
MOST_DIRECTIONS = 512  # kept where both are more
SMALLEST_SHARE = 1e-8  # of the largest variance, of a direction that is kept: the rest is rounding


@dataclass(frozen=True)
class Standardised:
    """Holds the features of training images in coordinates in which their heads are fitted.

    Every feature has mean 0 and deviation 1, then each block is divided by the root of its width, so that blocks weigh
    alike however wide they are. The coordinates span the images: a penalised head lies in that span, so nothing is lost
    and a fit takes n x r numbers instead of n x D. Of many images with many features, only the leading directions stay.

    Attributes:
        rows: Shape (n, r), float64.
        basis: Shape (D, r), orthonormal columns.
        mean: Shape (D,), of the features.
        scale: Shape (D,): what a centred feature is multiplied with.
    """

    rows: NDArray[np.float64]
    basis: Tensor
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, blocks: Sequence[Tensor]) -> "Standardised":
        """Standardises the features of n images, given as B blocks (n, D_b)."""
        widths = torch.cat([torch.full((block.shape[1],), float(block.shape[1])) for block in blocks])
        features = torch.cat(list(blocks), dim=1).float()
        mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        scale = 1 / (deviation.clamp_min(SMALLEST_DEVIATION) * widths.sqrt())
        scaled = (features - mean) * scale
        return cls(*_span(scaled), mean, scale)


def _span(scaled: Tensor) -> tuple[NDArray[np.float64], Tensor]:
    """Returns coordinates (n, r) and an orthonormal basis (D, r) of the space that centred rows (n, D) span.

    The eigenvectors of the smaller of the two products give it; where both are large, that would take minutes for each
    head, and the leading directions are found by random projections.
    """
    if min(scaled.shape) > MOST_EXACT:
        left, lengths, right = randomized_svd(scaled.numpy(), MOST_DIRECTIONS, n_iter=1, random_state=0)
        return (left * lengths).astype(np.float64), torch.from_numpy(right.T.copy())
    if scaled.shape[1] < scaled.shape[0]:
        _, basis = _kept(scaled.T @ scaled)
        return (scaled.double() @ basis).numpy(), basis.float()
    values, vectors = _kept(scaled @ scaled.T)
    return (vectors * values.sqrt()).numpy(), scaled.T @ (vectors / values.sqrt()).float()


def _kept(product: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the eigenvalues and eigenvectors, float64, of a symmetric matrix, those that are more than rounding."""
    values, vectors = torch.linalg.eigh(product.double())
    kept = values > values[-1] * SMALLEST_SHARE
    return values[kept], vectors[:, kept]


def fit_head(features: Standardised, labels: Tensor, num_classes: int, penalty: float) -> nn.Linear:
    """Fits a head on raw features (n, D): the standardisation is folded into its weights.

    Args:
        features: Of the training images.
        labels: Shape (n,), int64, every class at least once.
        num_classes: Classes K.
        penalty: Weight of half the squared weights, added to the mean cross-entropy.
    """
    weight, bias = _fit(features.rows, labels, num_classes, penalty)
    folded = (features.basis.double() @ weight.T).T * features.scale
    head = nn.Linear(len(features.mean), num_classes)
    with torch.no_grad():
        head.weight.copy_(folded)
        head.bias.copy_(bias - folded @ features.mean.double())
    return head


def out_of_fold(
    features: Standardised, labels: Tensor, num_classes: int, penalty: float, folds: Sequence[Tensor]
) -> Tensor:
    """Returns, for each image, the logits (n, K) of a head that was fitted without its fold.

    Args:
        features: Of the training images.
        labels: Shape (n,), int64.
        num_classes: Classes K.
        penalty: As of `fit_head`.
        folds: The places of each fold's images; together, all.
    """
    logits = torch.empty(len(labels), num_classes, dtype=torch.float64)
    for fold in folds:
        rest = torch.ones(len(labels), dtype=torch.bool)
        rest[fold] = False
        weight, bias = _fit(features.rows[rest.numpy()], labels[rest], num_classes, penalty)
        logits[fold] = torch.from_numpy(features.rows[fold.numpy()]) @ weight.T + bias
    return logits.float()


def make_folds(labels: Tensor, classes: Sequence[str], most: int, seed: int) -> list[Tensor]:
    """Divides images into folds of equal shares of every class: ``most``, or as many as the smallest class has images.

    Args:
        labels: Shape (n,), int64.
        classes: Their names.
        most: Folds wanted, at least 2.
        seed: Of the draw.

    Raises:
        DataError: If a class has a single image, so that no head could be judged on an image it never saw.
    """
    counts = labels.bincount(minlength=len(classes))
    fewest = int(counts.min())
    if fewest < 2:
        name = classes[int(counts.argmin())]
        raise DataError(
            f"class {name!r} has {fewest} training images, but a cascade needs at least 2 of each class: one to fit on "
            "and one to judge the fit; add images or leave the class out"
        )
    splitter = StratifiedKFold(min(most, fewest), shuffle=True, random_state=seed)
    return [torch.from_numpy(held_out) for _, held_out in splitter.split(np.zeros(len(labels)), labels.numpy())]


def _fit(rows: NDArray[np.float64], labels: Tensor, num_classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Returns weights (K, r) and biases (K,)."""
    solver = LogisticRegression(C=1 / (penalty * len(rows)), max_iter=MOST_ITERATIONS).fit(rows, labels.numpy())
    weight, bias = torch.from_numpy(solver.coef_), torch.from_numpy(solver.intercept_)
    if num_classes == 2:  # the solver keeps the difference of the two
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias
