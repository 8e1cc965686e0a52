"""Writes a trained saliency network as one ONNX graph that runs without PyTorch, and proves that it answers alike."""

# B batch, S side of the network's input in px
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Outputs, Written, compare_answers, write_export
from modicum.saliency.data.transforms import Preprocessing
from modicum.saliency.folding import fold_saliency
from modicum.saliency.network import SaliencyNet
from modicum.saliency.runner import SYSTEM, OnnxSaliency
from modicum.storage.files import JSON


class _Prediction(nn.Module):
    """Of the network, what a prediction needs: the finest map, its recurrences unrolled, its normalisation folded."""

    def __init__(self, network: SaliencyNet) -> None:
        super().__init__()
        self.network = fold_saliency(network)

    def forward(self, images: Tensor) -> Tensor:
        """Returns maps (B, 1, S, S), in [0, 1], of normalised images (B, 3, S, S)."""
        return self.network.saliency(images)


def export_saliency(network: SaliencyNet, folder: str | Path, preprocessing: Preprocessing) -> Path:
    """Writes the graph and the manifest that `OnnxSaliency` runs, in single precision, and checks them.

    The folder appears when all is written and the graph has given the network's own maps, to 1e-4, at batch sizes 1
    and 5. An earlier export in its place is replaced. ``network`` is not changed. Returns the folder.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        preprocessing: How pictures become its images.

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the network cannot be exported, its export answers differently, or the folder holds other files.
    """
    side = preprocessing.size
    details: dict[str, JSON] = {
        "images": {"shape": ["batch", 3, side, side], "dtype": "float32", "range": "normalised with mean and std"},
        "preprocessing": {name: asdict(preprocessing)[name] for name in ("size", "mean", "std", "interpolation")},
        "image_px": side,
    }

    def write(plain: SaliencyNet, new: Path) -> Written:
        graph = export_graph(
            _Prediction(plain).eval(),
            (sample_images(side)[:2],),
            new / "saliency.onnx",
            input_names=["images"],
            output_names=["saliency"],
        )
        return Written({"saliency": graph})

    return write_export(network, folder, details, system=SYSTEM, write=write, check=check_export)


@torch.inference_mode()
def check_export(network: SaliencyNet, folder: str | Path) -> float:
    """Returns the largest difference between a network on the CPU and its export; raises `ExportError` above 1e-4."""
    runner = OnnxSaliency(folder, threads=1)

    def answers(images: Tensor) -> tuple[Outputs, Outputs]:
        return {"saliency": network.saliency(images).numpy()}, {"saliency": runner.run(images.numpy())}

    return compare_answers(answers, runner.image_px)
