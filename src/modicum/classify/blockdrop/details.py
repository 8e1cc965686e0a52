"""What a report shows of a BlockDrop beside what all show: the sub-networks in use, and which classes need how much."""

# N test images, U droppable blocks

import torch
from torch import Tensor

from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.evaluation import make_examples
from modicum.classify.evidence import Judged
from modicum.classify.preparation import PreparedData
from modicum.classify.results import Detail, Example

MOST_FREQUENT = 10  # policies listed
MOST_CLASSES = 20  # classes listed: of more, the frugal and the needy ones
EXAMPLE_CLASSES = 6  # classes that are shown in pictures


def describe(model: BlockDrop, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:
    """Describes the policies in use on the test images and the blocks kept per class.

    Args:
        model: A BlockDrop, in evaluation mode.
        data: The data of its run.
        judged: Its scores of the test images.
        routes: Their keep-vectors (N, U).
    """
    is_right = judged.outcome(routes).each()
    return (
        describe_policies(routes, is_right, model.costs.of(routes) / model.costs.plain),
        describe_classes(model, data, judged, routes, is_right),
    )


def describe_policies(routes: Tensor, is_right: Tensor, shares: Tensor) -> Detail:
    """Counts the different sub-networks that ``routes`` (N, U) name, and lists the most frequent.

    Args:
        routes: Keep-vectors (N, U), bool.
        is_right: Whether each image is classified right on its route, (N,) float64.
        shares: What each route costs as a share of the plain network, (N,) float64.
    """
    policies, choices, counts = torch.unique(routes, dim=0, return_inverse=True, return_counts=True)
    kept = routes.sum(dim=1).double()
    rows = [
        (
            "".join("1" if keep else "0" for keep in policies[number].tolist()),
            str(int(policies[number].sum())),
            f"{counts[number] / len(routes):.1%}",
            f"{is_right[choices == number].mean():.1%}",
        )
        for number in counts.argsort(descending=True, stable=True)[:MOST_FREQUENT].tolist()
    ]
    return Detail(
        title="Policies",
        note=(
            f"{len(policies):,} distinct policies serve {len(routes):,} test images. They keep "
            f"{_mean_and_deviation(kept)} of {routes.shape[1]} blocks, which with the decision costs "
            f"{_mean_and_deviation(100 * shares)} % of the plain network's multiply-adds (mean ± standard deviation). "
            f"The most frequent are listed; 1 keeps a block, 0 drops it, from the first block to the last."
        ),
        columns=("policy", "blocks kept", "images", "accuracy"),
        rows=tuple(rows),
    )


def describe_classes(
    model: BlockDrop,
    data: PreparedData,
    judged: Judged,
    routes: Tensor,
    is_right: Tensor,
) -> Detail:
    """Blocks kept per class, fewest first, with the images that keep the fewest and the most; arguments as above."""
    kept, labels = routes.sum(dim=1).double(), judged.labels
    present = sorted(set(labels.tolist()))
    means = {label: float(kept[labels == label].mean()) for label in present}
    by_need = sorted(present, key=lambda label: means[label])
    listed = (
        by_need if len(by_need) <= MOST_CLASSES else [*by_need[: MOST_CLASSES // 2], *by_need[-MOST_CLASSES // 2 :]]
    )
    rows = [
        (
            data.source.classes[label],
            str(int((labels == label).sum())),
            _mean_and_deviation(kept[labels == label]),
            f"{is_right[labels == label].mean():.1%}",
        )
        for label in listed
    ]
    left_out = "" if listed == by_need else f" Of {len(by_need)} classes, the ends of the order are listed."
    return Detail(
        title="Blocks kept per class",
        note=(
            f"Mean ± standard deviation over the test images of each class, fewest first.{left_out} The pictures are, "
            "class by class, an image that keeps the fewest blocks and one that keeps the most."
        ),
        columns=("class", "images", "blocks kept", "accuracy"),
        rows=tuple(rows),
        examples=_extremes(model, data, judged, routes, _spread(by_need, EXAMPLE_CLASSES)),
    )


def _extremes(
    model: BlockDrop,
    data: PreparedData,
    judged: Judged,
    routes: Tensor,
    classes: list[int],
) -> tuple[Example, ...]:
    """Returns, for each class, the image that keeps the fewest blocks and the one that keeps the most."""
    kept = routes.sum(dim=1)
    picks = []
    for label in classes:
        members = (judged.labels == label).nonzero()[:, 0]
        picks += [members[kept[members].argmin()], members[kept[members].argmax()]]
    return tuple(make_examples(model, data, judged, routes, torch.stack(picks)))


def _spread(items: list[int], count: int) -> list[int]:
    """Returns at most ``count`` of ``items``: both ends and others evenly spaced between."""
    if len(items) <= count:
        return items
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def _mean_and_deviation(values: Tensor) -> str:
    return f"{values.mean():.1f} ± {values.std(correction=0):.1f}"
