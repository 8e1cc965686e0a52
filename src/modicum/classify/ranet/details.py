"""Describes the exits of a RANet for its report: their accuracy, and how well their confidence fits it."""

# N samples, E exits
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from modicum.classify.evidence import Judged
from modicum.classify.preparation import PreparedData
from modicum.classify.ranet.network import RANet
from modicum.classify.results import Detail
from modicum.classify.step_details import percent

NUM_BINS = 15  # as usual for the expected calibration error


def describe(model: RANet, data: PreparedData, judged: Judged, routes: Tensor) -> tuple[Detail, ...]:
    """Returns the table of exits on the test part.

    Args:
        model: A network whose routes are exits.
        data: Not needed, because everything has been judged.
        judged: The test part, with the answers of every exit.
        routes: Exit of each sample, (N,).
    """
    table = judged.answers
    assert table is not None  # exits can be listed
    before = calibration_errors(table.confidence, table.top1)
    after = calibration_errors(judged.scored.scores, table.top1)
    apart = model.temperature and not model.average_exits  # means are of probabilities after the temperatures
    columns = ["exit", "M MAC", "accuracy, if all leave there", "ECE"]
    columns += ["ECE after temperature"] * apart
    columns += ["leave there", "accuracy of those"]
    rows = []
    for index, (name, macs) in enumerate(zip(model.costs.route_names, model.costs.per_route, strict=True)):
        leavers = routes == index
        cells = [name, f"{macs / 1e6:.4g}", percent(table.top1[:, index]), f"{100 * before[index]:.1f}"]
        cells += [f"{100 * after[index]:.1f}"] * apart
        cells += [percent(leavers), percent(table.top1[leavers, index])]
        rows.append(tuple(cells))
    return (Detail("Exits", _note(model), tuple(columns), tuple(rows)),)


def calibration_errors(confidence: Tensor, top1: Tensor) -> tuple[float, ...]:
    """Returns the expected calibration error of each exit, in [0, 1]: 15 equal-width bins, weighted by their samples.

    Args:
        confidence: Shape (N, E), in [0, 1].
        top1: Shape (N, E), bool: whether the exit is correct.
    """
    hits = top1.long()
    return tuple(
        float(binary_calibration_error(confidence[:, index].clamp(max=1), hits[:, index], n_bins=NUM_BINS))
        for index in range(confidence.shape[1])
    )


def _note(model: RANet) -> str:
    note = (
        "Costs include everything up to the exit. ECE is the expected calibration error, in points: how far an exit's "
        "confidence is from its accuracy, on average over 15 bins of confidence."
    )
    if model.average_exits:
        note += " An answer is the mean of the probabilities of the exits so far."
    if model.temperature:
        temperatures = ", ".join(f"{value:.2f}" for value in model.temperatures.values().tolist())
        note += f" Temperatures fitted on the calibration images: {temperatures}."
    return note
