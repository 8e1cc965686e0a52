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
    """Writes the graphs and the manifest that `OnnxStatic` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
    """
    common = stated.details(image_px=network.image_px, num_classes=network.num_classes)
    return write_export(
        network, folder, common | _details(network), system=SYSTEM, write=_write_graphs, check=check_export
    )


def check_export(network: StaticFamily, folder: str | Path) -> float:
    """Compares every member of a family with that of its exported folder; see ``check`` of `write_export`."""
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
