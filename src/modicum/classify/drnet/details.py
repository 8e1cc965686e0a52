"""Describes, for its report, the steps of a DRNet that decides by confidence."""

# N samples
from torch import Tensor

from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.drnet.network import DRNet
from modicum.classify.evidence import Judged
from modicum.classify.preparation import PreparedData
from modicum.classify.results import Detail
from modicum.classify.step_details import describe_steps


def describe(model: DRNet | ExitingDRNet, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:
    """Returns the table of steps on the test part; nothing for a DRNet with a predictor.

    Args:
        model: The network.
        data: Not needed, because everything has been judged.
        judged: The test part, with the answers of every route.
        routes: Step of each sample, (N,).
    """
    return (describe_steps(model, judged, routes),) if isinstance(model, ExitingDRNet) else ()
