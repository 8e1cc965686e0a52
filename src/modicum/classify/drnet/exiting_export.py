"""Writes a DRNet that decides by confidence as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph per step, from full-size images to log-probabilities, its temperature inside; the graphs are run as those of a
cascade, by `modicum.classify.cascade.runner.OnnxCascade`. Every step gets its own copy of the backbone with its
normalisation folded in.
"""

# B batch, M steps, K classes, S side of the full image in pixels
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from modicum.classify.cascade.runner import ANSWER, IMAGES, STEP, OnnxCascade
from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.drnet.normalisation import without_switch
from modicum.classify.drnet.runner import SYSTEM
from modicum.classify.exiting_export import check_steps, describe_steps
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.resizing import exportable_resize
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Stated, Written, write_export
from modicum.nn.resizing import Resize
from modicum.storage.files import JSON

WEIGHTS_NOTE = "one copy of the backbone per step, its own batch normalisation folded in"


def export_exiting(network: ExitingDRNet, folder: str | Path, stated: Stated) -> Path:
    """Writes the graphs and the manifest that `OnnxCascade` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode; all rows of its thresholds are exported, for any knob.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
    """
    common = stated.details(image_px=network.image_px, num_classes=network.num_classes)
    own: dict[str, JSON] = {
        "resolutions": list(network.resolutions),
        "steps": [{"size_px": size_px} for size_px in network.sizes_px],
        "weights": WEIGHTS_NOTE,
    }
    details = common | describe_steps(network) | own
    return write_export(network, folder, details, system=SYSTEM, write=_write_graphs, check=check_exiting)


def check_exiting(network: ExitingDRNet, folder: str | Path) -> float:
    """Compares an exported folder with the network that it was made of; see `check_steps`."""
    # More threads would wait, spinning, on the cores that PyTorch wants next.
    return check_steps(network, OnnxCascade(folder, threads=1, system=SYSTEM))


class _Step(nn.Module):
    """A step as a module of its own."""

    def __init__(self, resize: nn.Module, backbone: nn.Module, temperature: float) -> None:
        super().__init__()
        self.resize, self.backbone, self.temperature = resize, backbone, temperature

    def forward(self, images: Tensor) -> Tensor:
        """Returns log-probabilities (B, K) of full-size images (B, 3, S, S)."""
        logits: Tensor = self.backbone(self.resize(images))
        return (logits / self.temperature).log_softmax(dim=1)


@torch.inference_mode()
def _write_graphs(network: ExitingDRNet, folder: Path) -> Written:
    example, graphs = (sample_images(network.image_px)[:2],), {}
    temperatures = network.temperatures.values().tolist()
    for number, (place, temperature) in enumerate(zip(network.steps, temperatures, strict=True), start=1):
        resize = exportable_resize(cast(Resize, network.resize[place]), network.image_px)
        module = _Step(resize, fold_batch_norms(without_switch(network.backbone, place)), temperature).eval()
        path = folder / f"step_{number}.onnx"
        role = STEP.format(number)
        graphs[role] = export_graph(module, example, path, input_names=[IMAGES], output_names=[ANSWER])
    return Written(graphs, {})
