"""Writes a trained static family as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph per member, its normalisation folded in; see `modicum.classify.static.runner` for how they are used.
"""

# B batch, M members, K classes, S side of the images in pixels
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from modicum.classify.static.network import StaticFamily
from modicum.classify.static.runner import SYSTEM, OnnxStatic
from modicum.exporting.classifiers import stated_costs
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Outputs, Stated, Written, compare_answers, write_export
from modicum.storage.files import JSON


def export_static(network: StaticFamily, folder: str | Path, stated: Stated) -> Path:
    """Writes the graphs and the manifest that `OnnxStatic` runs, and checks them; see `write_export`.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.

    Returns:
        The folder.

    Raises:
        ValueError: If what is stated and the network do not fit each other.
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If a member cannot be exported, its export answers differently, or the folder holds other files.
    """
    stated.check_fit(image_px=network.image_px, num_classes=network.num_classes)
    details = {**stated.to_json(network.image_px), **_details(network)}
    return write_export(network, folder, details, system=SYSTEM, write=_write_graphs, check=check_export)


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
    return compare_answers(partial(_answers, network, runner), network.image_px)


def _write_graphs(network: StaticFamily, folder: Path) -> Written:
    example = (sample_images(network.image_px)[:2],)
    graphs = {
        name: export_graph(
            fold_batch_norms(member).eval(),
            example,
            folder / f"{name}.onnx",
            input_names=["images"],
            output_names=["logits"],
        )
        for name, member in zip(network.names, network.networks, strict=True)
    }
    return Written(graphs, {})


def _details(network: StaticFamily) -> dict[str, JSON]:
    return {
        "image_px": network.image_px,
        "decision": {
            "rule": "for all images, the first j with relative_costs[j] <= 1 - knob, the last if there is none",
            "relative_costs": list(network.policy.relative_costs),
        },
        "costs": stated_costs(asdict(network.costs)),
    }


@torch.inference_mode()
def _answers(network: StaticFamily, runner: OnnxStatic, images: Tensor) -> tuple[Outputs, Outputs]:
    """Outputs by name, of the family and of its export."""
    array = images.numpy()
    routed, result = network.predict(images, runner.knob), runner.predict(array)
    expected = {"routes": routed.routes, "logits": routed.outputs, "macs": routed.macs}
    found: Outputs = {**result._asdict()}
    for index, name in enumerate(network.names):
        same = torch.full((len(images),), index)
        expected[f"logits of {name}"] = network.run(images, same)
        found[f"logits of {name}"] = runner.run(array, same.numpy())
    return {name: value.numpy() for name, value in expected.items()}, found
