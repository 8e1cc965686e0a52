"""Writes a zooming detector as ONNX graphs and plain data that run without PyTorch, and proves that they answer alike.

Both detectors end at their heads, for pictures of any size and any batch; selecting and suppressing boxes, planning and
merging are numpy in `modicum.detect.zoom.runner`, the same code that plans and merges beside PyTorch.
"""

# B batch, N detections, F features, C channels, R rows and columns of cells
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.adaptive.knobs import check_knob
from modicum.detect.detectors.graph_writing import check_detector, exportable, write_detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.zoom.gain_graphs import Qnet, check_gains, check_qnet, name_qnet, num_heads, write_gains, write_qnet
from modicum.detect.zoom.inference import ZoomDetector
from modicum.detect.zoom.notes import read_price
from modicum.detect.zoom.planners import DensityPlanner, Layout, SlidingWindows, ValuePlanner
from modicum.detect.zoom.policies import RungPolicy
from modicum.detect.zoom.rnet import DenseRNet, RNet
from modicum.detect.zoom.runner import COARSE, DENSE_RNET, FINE, RNET, SYSTEM, OnnxZoom
from modicum.detect.zoom.score_map import ScoreMap
from modicum.exporting.folders import replaced_folder
from modicum.exporting.manifest import Graph, write_manifest
from modicum.exporting.parity import ExportError
from modicum.storage.files import JSON
from modicum.storage.values import to_plain

if TYPE_CHECKING:
    from modicum.detect.wing import TrainedZoom

_CHECKED_SIZES = ((1920, 1080), (1000, 1300))  # width and height of pictures whose windows the Q-net values


def export_run(trained: "TrainedZoom", folder: str | Path) -> Path:
    """Writes a finished run as `export_zoom` does; the runner plans for its calibrated price, or reads everything."""
    network, calibration = trained.network, read_price(trained.run.folder)
    return export_zoom(
        trained.zoom,
        folder,
        price=0.0 if calibration is None else calibration.knob,
        calibration=None if calibration is None else to_plain(calibration),
        qnet=network.qnet,
        rungs=RungPolicy(network.prices, network.used) if network.prices else None,
    )


def export_zoom(
    zoom: ZoomDetector,
    folder: str | Path,
    *,
    price: float,
    calibration: Mapping[str, JSON] | None = None,
    qnet: Qnet | None = None,
    rungs: RungPolicy | None = None,
) -> Path:
    """Writes the graphs and the manifest that `OnnxZoom` runs, in single precision, and checks them.

    The folder appears when all is written and every graph has given what the network gives, to 1e-4 (boxes relative to
    the size of a picture). An earlier export in its place is replaced.

    Args:
        zoom: With networks in evaluation mode on the CPU; they stay as they are.
        folder: Where to write.
        price: Lambda that the runner plans for unless a caller names a limit.
        calibration: Where the price comes from, for the record.
        qnet: The network behind a `ValuePlanner`, which has to be given again.
        rungs: Its prices; None where it serves any.

    Returns:
        The folder.

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If a detector cannot be expressed in ONNX, an export answers differently, or the folder holds other
            files.
        ValueError: If the planner needs a Q-net that was not given.
    """
    _check_exportable(zoom, qnet)
    with replaced_folder(folder) as new:
        graphs, details = _write(zoom, new, qnet, rungs)
        details |= {"knob": check_knob(price), "calibration": None if calibration is None else dict(calibration)}
        write_manifest(new, system=SYSTEM, graphs=graphs, details=details)
        check_export(zoom, new, qnet)
    return Path(folder)


def check_export(zoom: ZoomDetector, folder: str | Path, qnet: Qnet | None = None) -> float:
    """Returns the worst difference between a detector and its export; raises `ExportError` above 1e-4.

    Each graph is compared with its network, and what numpy makes of the outputs with what PyTorch does. Planning and
    merging are one code for both.
    """
    runner = OnnxZoom(folder, threads=1)
    differences = [check_detector(zoom.coarse, runner.coarse)]
    if isinstance(zoom.gains, RNet | DenseRNet) and runner.rnet is not None:
        differences.append(check_gains(zoom.gains, runner.rnet))
    if qnet is not None and runner.qnet is not None:
        layout = runner.planner.layout
        for width, height in _CHECKED_SIZES:
            grid = layout.grid(width, height)
            differences.append(check_qnet(qnet, runner.qnet, grid, layout.lattices(grid)))
    if not runner.shares_weights:
        differences.append(check_detector(zoom.fine, runner.fine))
    return max(differences)


def _check_exportable(zoom: ZoomDetector, qnet: Qnet | None) -> None:
    """Raises an error for what cannot be written, before anything is."""
    for role, detector in ((COARSE, zoom.coarse), (FINE, zoom.fine)):
        try:
            network, _ = exportable(detector)
        except ExportError as error:
            raise ExportError(f"the {role} detector: {error}") from error
        if isinstance(network, TorchvisionDetector) and next(network.model.parameters()).device.type != "cpu":
            raise ExportError(f"the {role} detector must be on the CPU to be exported: move it there first")
    if isinstance(zoom.gains, DenseRNet) and not isinstance(exportable(zoom.coarse)[0], TorchvisionDetector):
        raise ExportError("a dense R-net needs features of the whole picture, which an ONNX file does not give")
    if isinstance(zoom.planner, ValuePlanner) and qnet is None:
        raise ValueError("this detector plans by values of a Q-net: give qnet, too")
    if not isinstance(zoom.planner, DensityPlanner | ValuePlanner):
        raise ExportError(f"a {type(zoom.planner).__name__} cannot be exported: plan by density or by a Q-net")
    if zoom.tile is not None:
        raise ExportError("a detector that reads whole pictures in tiles cannot be exported: set tile to None")


def _write(
    zoom: ZoomDetector, folder: Path, qnet: Qnet | None, rungs: RungPolicy | None
) -> tuple[dict[str, Graph], dict[str, JSON]]:
    """Writes all graphs; returns them with what the manifest states beside them."""
    with_features = isinstance(zoom.gains, RNet) and zoom.gains.num_features > 0
    with_level = isinstance(zoom.gains, DenseRNet)
    coarse = write_detector(zoom.coarse, folder, COARSE, with_features=with_features, with_level=with_level)
    graphs, fine = dict(coarse.graphs), None
    if not _shares_weights(zoom):
        fine = write_detector(zoom.fine, folder, FINE, with_features=False)
        graphs |= fine.graphs
    if isinstance(zoom.gains, RNet | DenseRNet):
        graphs |= write_gains(zoom.gains, folder)
    if isinstance(zoom.planner, ValuePlanner) and qnet is not None:
        graphs |= write_qnet(qnet, folder)
    details: dict[str, JSON] = {
        "scale": zoom.scale,
        "classes": list(zoom.classes),
        COARSE: coarse.settings.stated(),
        FINE: COARSE if fine is None else fine.settings.stated(),
        "gains": _name_gains(zoom),
        "scores": {COARSE: _state_map(zoom.coarse_scores), FINE: _state_map(zoom.fine_scores)},
        "planner": _state_planner(zoom.planner, qnet, rungs),
    }
    return graphs, details


def _shares_weights(zoom: ZoomDetector) -> bool:
    """Tells whether one network with the same limits has both roles, so that its graph is written once."""
    if zoom.coarse is zoom.fine:
        return True
    (coarse, labels), (fine, fine_labels) = exportable(zoom.coarse), exportable(zoom.fine)
    if not isinstance(coarse, TorchvisionDetector) or not isinstance(fine, TorchvisionDetector):
        return coarse is fine and labels == fine_labels
    alike = coarse.model is fine.model and labels == fine_labels and coarse.batch_pixels == fine.batch_pixels
    own, other = ({**asdict(each.limits), "features": None} for each in (coarse, fine))
    return alike and own == other


def _name_gains(zoom: ZoomDetector) -> str:
    if isinstance(zoom.gains, str):
        return zoom.gains
    return RNET if isinstance(zoom.gains, RNet) else DENSE_RNET


def _state_map(scores: ScoreMap) -> JSON:
    return {"before": scores.before.tolist(), "after": scores.after.tolist()}


def _state_planner(planner: object, qnet: Qnet | None, rungs: RungPolicy | None) -> JSON:
    assert isinstance(planner, DensityPlanner | ValuePlanner)  # `_check_exportable` has looked
    common: dict[str, JSON] = {"layout": _state_layout(planner.layout), "is_refined": planner.is_refined}
    if isinstance(planner, DensityPlanner):
        return {"kind": "density", "with_whole": planner.with_whole, "overhead": planner.overhead, **common}
    prices, used = ([], []) if rungs is None else (list(rungs.prices), list(rungs.used))
    assert qnet is not None
    named: dict[str, JSON] = {"kind": "value", "qnet": name_qnet(qnet), "num_sizes": num_heads(qnet)}
    return {**named, "prices": prices, "used": used, **common}


def _state_layout(layout: Layout) -> JSON:
    if isinstance(layout, SlidingWindows):
        return {"kind": "sliding", "sizes": [list(size) for size in layout.sizes], "columns": layout.columns}
    return {"kind": "spaced"}
