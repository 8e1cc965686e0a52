"""Writes a trained static family as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph per member, its normalisation folded in; see `modicum.classify.static.runner` for how they are used.
"""

# B batch, M members, K classes, S side of the images in pixels
import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.classify.static.network import StaticFamily
from modicum.classify.static.runner import SYSTEM, OnnxStatic
from modicum.exporting.classifiers import check_fit, stated_costs, stated_preprocessing
from modicum.exporting.folders import replaced_folder
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph, write_manifest
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import check_parity
from modicum.exporting.samples import sample_images
from modicum.storage.files import JSON

_Outputs: TypeAlias = dict[str, NDArray[Any]]

logger = logging.getLogger(__name__)


def export_static(
    network: StaticFamily,
    folder: str | Path,
    *,
    preprocessing: Mapping[str, JSON],
    classes: Sequence[str],
    knob: float,
    calibration: Mapping[str, JSON] | None,
) -> Path:
    """Writes the graphs and the manifest that `OnnxStatic` runs, in single precision, and checks them.

    The folder appears when all is written and every exported member has given the answers of this one, to 1e-4, on the
    same images at batch sizes 1 and 5. An earlier export in its place is replaced. ``network`` is not changed.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        preprocessing: How pictures become images: ``size`` (equal to the members'), ``resize_short``, ``mean`` and
            ``std``, e.g. ``dataclasses.asdict`` of the wing's ``Preprocessing``; other keys are ignored.
        classes: Name of each class.
        knob: Which member to use, unless a caller of the runner names another.
        calibration: Where the knob comes from, for the record: what ``calibration_to_json`` tells of it.

    Returns:
        The folder.

    Raises:
        ValueError: If preprocessing, classes and network do not fit each other.
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If a member cannot be exported, its export answers differently, or the folder holds other files.
    """
    check_fit(preprocessing, classes, knob, image_px=network.image_px, num_classes=network.num_classes)
    details = _details(network, preprocessing, classes, knob, calibration)
    plain = copy.deepcopy(network).to("cpu", torch.float32).eval()
    with replaced_folder(folder) as new:
        write_manifest(new, system=SYSTEM, graphs=_write_graphs(plain, new), details=details)
        worst = check_export(plain, new)
    logger.info("exported to %s; worst difference from PyTorch %.1e", folder, worst)
    return Path(folder)


def check_export(network: StaticFamily, folder: str | Path) -> float:
    """Compares an exported folder with the family that it was made of, by running every member of both.

    Args:
        network: On the CPU, in single precision and evaluation mode.
        folder: Its export.

    Returns:
        The worst difference.

    Raises:
        ExportError: If it exceeds 1e-4; the message names the output.
    """
    runner = OnnxStatic(folder, threads=1)
    samples = sample_images(network.image_px)
    return max(check_parity(*_answers(network, runner, batch)) for batch in (samples[:1], samples[1:]))


def _write_graphs(network: StaticFamily, folder: Path) -> dict[str, Graph]:
    example = (sample_images(network.image_px)[:2],)
    return {
        name: export_graph(
            fold_batch_norms(member).eval(),
            example,
            folder / f"{name}.onnx",
            input_names=["images"],
            output_names=["logits"],
        )
        for name, member in zip(network.names, network.networks, strict=True)
    }


def _details(
    network: StaticFamily,
    preprocessing: Mapping[str, JSON],
    classes: Sequence[str],
    knob: float,
    calibration: Mapping[str, JSON] | None,
) -> dict[str, JSON]:
    side = network.image_px
    return {
        "images": {"shape": ["batch", 3, side, side], "dtype": "float32", "range": "normalised with mean and std"},
        "preprocessing": stated_preprocessing(preprocessing),
        "classes": list(classes),
        "image_px": side,
        "knob": knob,
        "decision": {
            "rule": "for all images, the first j with relative_costs[j] <= 1 - knob, the last if there is none",
            "relative_costs": list(network.policy.relative_costs),
        },
        "costs": stated_costs(asdict(network.costs)),
        "calibration": None if calibration is None else dict(calibration),
    }


@torch.inference_mode()
def _answers(network: StaticFamily, runner: OnnxStatic, images: Tensor) -> tuple[_Outputs, _Outputs]:
    """Outputs by name, of the family and of its export."""
    array = images.numpy()
    routed, result = network.predict(images, runner.knob), runner.predict(array)
    expected = {"routes": routed.routes, "logits": routed.outputs, "macs": routed.macs}
    found: _Outputs = {**result._asdict()}
    for index, name in enumerate(network.names):
        same = torch.full((len(images),), index)
        expected[f"logits of {name}"] = network.run(images, same)
        found[f"logits of {name}"] = runner.run(array, same.numpy())
    return {name: value.numpy() for name, value in expected.items()}, found
