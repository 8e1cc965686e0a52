"""Describes a cascade for its report: its steps, and the candidates that it does without."""

# N samples
from torch import Tensor

from modicum.classify.cascade.members import MemberCascade
from modicum.classify.evidence import Judged
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.preparation import PreparedData
from modicum.classify.results import Detail
from modicum.classify.step_details import describe_steps


def describe(model: ExitingClassifier, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:
    """Returns the table of steps on the test part.

    Args:
        model: The cascade.
        data: Not needed, because everything has been judged.
        judged: The test part, with the answers of every step.
        routes: Step of each sample, (N,).
    """
    steps = describe_steps(model, judged, routes)
    return (steps, _tell_dropped(model)) if isinstance(model, MemberCascade) and model.dropped else (steps,)


def _tell_dropped(model: MemberCascade) -> Detail:
    """Returns the table of candidates that the cascade does without."""
    note = "On the images that the cascade was chosen on, no cascade with these was more accurate around the budget."
    if model.num_steps == 1:
        note += f" So {model.members[0].name} alone answers every image: no cascade pays here at this budget."
    rows = tuple((name, f"{macs / 1e6:.4g}") for name, macs in model.dropped)
    return Detail("Members that do not pay", note, ("member", "M MAC"), rows)
