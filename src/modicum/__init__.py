"""Networks that spend only the compute an input needs, and look where it matters.

The names below are imported when they are first used, so that ``import modicum`` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modicum.classify.blockdrop.network import BlockDrop
    from modicum.classify.drnet.network import DRNet
    from modicum.classify.ranet.network import RANet
    from modicum.detect.zoom.network import ZoomNetwork
    from modicum.reading.qanet.network import QANet
    from modicum.restore.rnan.network import RNAN
    from modicum.saliency.network import SaliencyNet
    from modicum.verbs import bench, calibrate, compare, evaluate, export, load, predict, predictor, report, train

_HOMES = {
    "BlockDrop": "modicum.classify.blockdrop.network",
    "DRNet": "modicum.classify.drnet.network",
    "QANet": "modicum.reading.qanet.network",
    "RANet": "modicum.classify.ranet.network",
    "RNAN": "modicum.restore.rnan.network",
    "SaliencyNet": "modicum.saliency.network",
    "ZoomNetwork": "modicum.detect.zoom.network",
    **dict.fromkeys(
        ("bench", "calibrate", "compare", "evaluate", "export", "load", "predict", "predictor", "report", "train"),
        "modicum.verbs",
    ),
}

__all__ = [
    "RNAN",
    "BlockDrop",
    "DRNet",
    "QANet",
    "RANet",
    "SaliencyNet",
    "ZoomNetwork",
    "bench",
    "calibrate",
    "compare",
    "evaluate",
    "export",
    "load",
    "predict",
    "predictor",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  a class or a function
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'modicum' has no attribute {name!r}")
