"""Describes the steps of a cascade for its report: their costs and accuracies, and how many images leave at each."""

# N samples, M steps
from torch import Tensor

from modicum.classify.cascade.members import MemberCascade
from modicum.classify.evidence import Judged
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.preparation import PreparedData
from modicum.classify.results import Detail
from modicum.reporting.quantities import MISSING


def describe(model: ExitingClassifier, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:
    """Returns the table of steps on the test part.

    Args:
        model: The cascade.
        data: Not needed, because everything has been judged.
        judged: The test part, with the answers of every step.
        routes: Step of each sample, (N,).
    """
    table = judged.answers
    assert table is not None  # steps can be listed
    rows = []
    for index, (name, macs) in enumerate(zip(model.costs.route_names, model.costs.per_route, strict=True)):
        leavers = routes == index
        cells = [name, f"{macs / 1e6:.4g}", _percent(table.top1[:, index])]
        rows.append((*cells, _percent(leavers), _percent(table.top1[leavers, index])))
    columns = ("step", "M MAC", "accuracy, if all leave there", "leave there", "accuracy of those")
    answers = "the mean of all steps so far" if model.average else "the answer of the last step"
    note = (
        f"Costs include the steps before. An image leaves with {answers}, where its {model.confidence} is large enough."
    )
    steps = Detail("Steps", note, columns, tuple(rows))
    return (steps, _tell_dropped(model)) if isinstance(model, MemberCascade) and model.dropped else (steps,)


def _tell_dropped(model: MemberCascade) -> Detail:
    """Returns the table of candidates that the cascade does without."""
    note = "On the images that the cascade was chosen on, no cascade with these was more accurate around the budget."
    if model.num_steps == 1:
        note += f" So {model.members[0].name} alone answers every image: no cascade pays here at this budget."
    rows = tuple((name, f"{macs / 1e6:.4g}") for name, macs in model.dropped)
    return Detail("Members that do not pay", note, ("member", "M MAC"), rows)


def _percent(hits: Tensor) -> str:
    """Returns the share of ``hits`` (n,), bool, in percent; a dash if ``hits`` is empty."""
    return f"{100 * float(hits.double().mean()):.1f} %" if len(hits) else MISSING
