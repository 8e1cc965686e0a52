"""Describes the steps of a classifier that may answer at each: costs and accuracies, and how many images leave."""

# N samples, M steps
from torch import Tensor

from modicum.classify.evidence import Judged
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.results import Detail
from modicum.reporting.quantities import MISSING


def describe_steps(model: ExitingClassifier, judged: Judged, routes: Tensor) -> Detail:
    """Returns the table of steps on the test part.

    Args:
        model: The classifier.
        judged: The test part, with the answers of every step.
        routes: Step of each sample, (N,).
    """
    table = judged.answers
    assert table is not None  # steps can be listed
    rows = []
    for index, (name, macs) in enumerate(zip(model.costs.route_names, model.costs.per_route, strict=True)):
        leavers = routes == index
        cells = [name, f"{macs / 1e6:.4g}", percent(table.top1[:, index])]
        rows.append((*cells, percent(leavers), percent(table.top1[leavers, index])))
    columns = ("step", "M MAC", "accuracy, if all leave there", "leave there", "accuracy of those")
    answers = "the mean of all steps so far" if model.average else "the answer of the last step"
    note = (
        f"Costs include the steps before. An image leaves with {answers}, where its {model.confidence} is large enough."
    )
    return Detail("Steps", note, columns, tuple(rows))


def percent(hits: Tensor) -> str:
    """Returns the share of ``hits`` (n,), bool, in percent; a dash if ``hits`` is empty."""
    return f"{100 * float(hits.double().mean()):.1f} %" if len(hits) else MISSING
