"""Writes a trained DRNet as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph per resolution and one for the predictor, each from full-size images; see `modicum.classify.drnet.runner` for
how they work together. Every resolution gets its own copy of the backbone with its normalisation folded in: R times the
weights of the network that shares its convolutions, for the fastest graphs.
"""

# B batch, R resolutions, K classes, S side of the full image in pixels
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.drnet.exiting_export import export_exiting
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.normalisation import without_switch
from modicum.classify.drnet.runner import PREDICTOR, SYSTEM, OnnxDRNet
from modicum.exporting.classifiers import stated_costs
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.resizing import exportable_resize
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Outputs, Stated, Written, compare_answers, write_export
from modicum.nn.resizing import Resize
from modicum.storage.files import JSON

WEIGHTS_NOTE = (
    "one copy of the backbone per resolution, its own batch normalisation folded in; the network itself shares its "
    "convolutions between resolutions and needs about 1/{copies} of this memory, at the price of unfused normalisation"
)


def export_drnet(network: DRNet | ExitingDRNet, folder: str | Path, stated: Stated) -> Path:
    """Writes the graphs and the manifest that `OnnxDRNet` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode; of one that decides by confidence, see `export_exiting`.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
    """
    if isinstance(network, ExitingDRNet):
        return export_exiting(network, folder, stated)
    common = stated.details(image_px=network.resolutions[0], num_classes=network.storage_config()["num_classes"])
    return write_export(
        network, folder, common | _details(network), system=SYSTEM, write=_write_graphs, check=check_export
    )


def check_export(network: DRNet, folder: str | Path) -> float:
    """Compares an exported folder with the network that it was made of; see ``check`` of `write_export`.

    Every graph is run on every sample; then the decision and the assembly of groups are compared on the same scores,
    so that samples at the edge between two routes cannot fail for their last digit.
    """
    runner = OnnxDRNet(folder, threads=1)
    return compare_answers(partial(_answers, network, runner), network.resolutions[0])


class _Scores(nn.Module):
    """What `DRNet.scores` computes, as a module of its own."""

    def __init__(self, resize: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.resize, self.predictor = resize, predictor

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, R) of images (B, 3, S, S)."""
        return F.log_softmax(self.predictor(self.resize(images)), dim=1)


def _write_graphs(network: DRNet, folder: Path) -> Written:
    side = network.resolutions[0]
    example = (sample_images(side)[:2],)
    scores = _Scores(exportable_resize(network.to_thumbnail, side), fold_batch_norms(network.predictor)).eval()
    graphs = {
        PREDICTOR: export_graph(
            scores, example, folder / f"{PREDICTOR}.onnx", input_names=["images"], output_names=["scores"]
        )
    }
    for index, (label, resolution) in enumerate(zip(network.costs.route_names, network.resolutions, strict=True)):
        graphs[label] = export_graph(
            _at_resolution(network, index),
            example,
            folder / f"backbone_{resolution}.onnx",
            input_names=["images"],
            output_names=["logits"],
        )
    return Written(graphs, {})


def _at_resolution(network: DRNet, index: int) -> nn.Module:
    resize = exportable_resize(cast(Resize, network.resize[index]), network.resolutions[0])
    return nn.Sequential(resize, fold_batch_norms(without_switch(network.backbone, index))).eval()


def _details(network: DRNet) -> dict[str, JSON]:
    return {
        "resolutions": list(network.resolutions),
        "thumbnail_px": network.to_thumbnail.size,
        "kernel": network.to_thumbnail.kernel,
        "decision": {
            "rule": "argmax over j of scores[j] - knob * relative_costs[j]; of routes that tie, the first",
            "relative_costs": network.policy.relative_costs.tolist(),
        },
        "costs": stated_costs(asdict(network.costs)),
        "weights": WEIGHTS_NOTE.format(copies=len(network.resolutions)),
    }


@torch.inference_mode()
def _answers(network: DRNet, runner: OnnxDRNet, images: Tensor) -> tuple[Outputs, Outputs]:
    """Outputs by name, of the network and of its export."""
    array = images.numpy()
    scores, result = runner.scores(array), runner.predict(array)
    routes = torch.from_numpy(result.routes)
    expected = {
        "scores": network.scores(images),
        "routes": network.policy.decide(torch.from_numpy(scores), runner.knob),
        "logits": network.run(images, routes),
        "macs": network.costs.of(routes),
    }
    found: Outputs = {"scores": scores, **result._asdict()}
    for index, label in enumerate(network.costs.route_names):
        same = torch.full((len(images),), index)
        expected[f"logits at {label}"] = network.run(images, same)
        found[f"logits at {label}"] = runner.run(array, same.numpy())
    return {name: value.numpy() for name, value in expected.items()}, found
