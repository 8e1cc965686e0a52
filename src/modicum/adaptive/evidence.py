"""What one pass over a data set leaves behind, so that any knob can be judged afterwards.

*Table mode*: every route of a menu is run once on every sample and only small arrays stay; each knob is then a look-up.
*Execute mode*: for routes too many to list, or to verify the table, the chosen routes are run. Both are an `Outcome`,
and whoever draws curves or baselines does not know which it has.
"""
# N samples, R routes, S scores, K classes

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from modicum.adaptive.contract import AdaptiveClassifier
from modicum.adaptive.costs import CostTable

Outcome = Callable[[Tensor], Tensor]
"""From the routes of all samples, (N, ...), to whether each is classified right, (N,) bool on the CPU."""

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (n, 3, H, W) with labels (n,), in the same order on every iteration; on any device."""


@dataclass(frozen=True)
class Scored:
    """The scores that decisions depend on, and the truth; all on the CPU.

    Attributes:
        ids: Name of each sample, unique within a data set.
        scores: Shape (N, S).
        labels: Shape (N,), int64.
    """

    ids: tuple[str, ...]
    scores: Tensor
    labels: Tensor


@dataclass(frozen=True)
class RouteTable:
    """The answer of every route of a menu on every sample; all on the CPU.

    Attributes:
        predicted: Shape (N, R), int64: the most probable class.
        confidence: Shape (N, R), float32 in [0, 1]: its probability.
        top1: Shape (N, R), bool: the most probable class is the label.
        top5: Shape (N, R), bool: the label is among the five most probable classes.
    """

    predicted: Tensor
    confidence: Tensor
    top1: Tensor
    top5: Tensor

    def outcome(self, routes: Tensor) -> Tensor:
        """Whether each sample is classified right on its route, (N,) bool: an `Outcome`."""
        return self.top1.gather(1, routes[:, None])[:, 0]

    def top5_accuracy(self, routes: Tensor) -> float:
        """Share of the samples whose right class is among the five most probable on their route."""
        return float(self.top5.gather(1, routes[:, None]).double().mean())


@torch.inference_mode()
def score(model: AdaptiveClassifier, batches: Batches, ids: tuple[str, ...]) -> Scored:
    """The scores of every sample; one pass over ``batches``.

    Raises:
        ValueError: If ``batches`` does not hold one sample per id.
    """
    rows = [(model.scores(images).float().cpu(), labels.cpu()) for images, labels in batches]
    if not rows:
        raise ValueError("batches hold no samples, so there is nothing to score")
    scores, labels = (torch.cat(column) for column in zip(*rows, strict=True))
    scored = Scored(ids, scores, labels)
    if not len(ids) == len(set(ids)) == len(scored.labels):
        raise ValueError(f"ids must name each sample once: {len(set(ids))} names for {len(scored.labels)} samples")
    return scored


@torch.inference_mode()
def tabulate(model: AdaptiveClassifier, batches: Batches, costs: CostTable) -> RouteTable:
    """Runs every route of the menu on every sample; one pass over ``batches``.

    Raises:
        ValueError: If the routes of this model are too many to list.
    """
    menu = costs.menu()
    if menu is None:
        raise ValueError("the routes of this model are too many to list: use executed_outcome instead")
    rows = [_tabulate_batch(model, images, labels, len(menu)) for images, labels in batches]
    return RouteTable(*(torch.cat(column) for column in zip(*rows, strict=True)))


def _tabulate_batch(
    model: AdaptiveClassifier, images: Tensor, labels: Tensor, num_routes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    runs = [model.run(images, torch.full((len(images),), route)) for route in range(num_routes)]
    logits, labels = torch.stack(runs, dim=1).cpu(), labels.cpu()[:, None]  # (n, R, K), (n, 1)
    predicted = logits.argmax(dim=2)  # not of the probabilities, which may tie where logits differ
    best = logits.topk(min(5, logits.shape[2]), dim=2).indices
    confidence = logits.float().softmax(dim=2).amax(dim=2)
    return predicted, confidence, predicted == labels, (best == labels[:, :, None]).any(dim=2)


def executed_outcome(model: AdaptiveClassifier, batches: Batches) -> Outcome:
    """An `Outcome` that runs the given routes over ``batches`` each time it is asked.

    It raises a `ValueError` if it is given routes for more samples than there are.
    """

    @torch.inference_mode()
    def outcome(routes: Tensor) -> Tensor:
        hits, start = [], 0
        for images, labels in batches:
            logits = model.run(images, routes[start : start + len(images)])
            hits.append((logits.argmax(dim=1) == labels.to(logits.device)).cpu())
            start += len(images)
        if start < len(routes):
            raise ValueError(f"routes must name one route per sample, got {len(routes)} for {start} samples")
        return torch.cat(hits)

    return outcome


def remembered(outcome: Outcome) -> Outcome:
    """The same `Outcome`, which looks up what it has been asked before: executing routes takes a pass over all samples.

    Curves in multiply-adds and in milliseconds, for example, ask for the same routes.
    """
    known: dict[bytes, Tensor] = {}

    def look_up(routes: Tensor) -> Tensor:
        key = hashlib.blake2b(routes.cpu().contiguous().numpy().tobytes()).digest()
        if key not in known:
            known[key] = outcome(routes)
        return known[key]

    return look_up
