"""Writes a detector as ONNX graphs for pictures of any size and any batch, and proves that they answer alike.

The graph ends where the heads of the detector end; `modicum.detect.detectors.graph_detector` does the rest in numpy.
"""

# B batch, P Q size of padded pictures in px, h w places of a level, A anchors, K classes, C channels, N boxes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import roi_align

from modicum.detect.boxes import Detections
from modicum.detect.detectors.class_names import RelabelledDetector
from modicum.detect.detectors.declared_graph import DeclaredGraph, DeclaredSettings
from modicum.detect.detectors.graph_boxes import BoxCoding, Picture, Seen
from modicum.detect.detectors.graph_detector import (
    FEATURES,
    IMAGES,
    LEVEL,
    NUMBERS,
    REGIONS,
    ROIS,
    SCORES,
    GraphDetector,
    GraphSettings,
)
from modicum.detect.detectors.onnx_detector import OnnxDetector
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import ROI_SIDE, Model
from modicum.detect.detectors.true_pixels import TruePixels
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph, describe_graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import ExportError, check_parity
from modicum.exporting.writing import Outputs

EXPORTABLE = "light detectors of modicum, FCOS and RetinaNet of torchvision, and ONNX files"
_EXAMPLE_MULTIPLES = (8, 12)  # of the size multiple: height and width of the pictures for tracing
_CHECKED_SIZES = ((97, 131), (160, 256))  # height and width of the pictures on which both forms are compared


class DetectorGraphs(NamedTuple):
    """A detector that was written."""

    graphs: dict[str, Graph]  # by role
    settings: GraphSettings | DeclaredSettings


class Logistic(nn.Module):
    """The sigmoid, written out: ONNX Runtime's own is cut off at logits of 18, so that scores below 1e-4 go wrong."""

    def forward(self, logits: Tensor) -> Tensor:
        """Returns probabilities of the shape of ``logits``."""
        return 1 / (1 + torch.exp(-logits))


class DenseHeads(nn.Module):
    """A dense detector up to its heads, level by level, with activated scores.

    The maps of the heads stay maps: torchvision's own reshaping ties a graph to the size of its example.

    Args:
        model: FCOS or RetinaNet.
        with_level: Whether the finest level is given, too.
        sigmoid: From logits to probabilities: `Logistic` in a graph, torch's own for comparison.

    Raises:
        ExportError: If the heads are not those of torchvision.
    """

    def __init__(self, model: FCOS | RetinaNet, *, with_level: bool, sigmoid: nn.Module) -> None:
        super().__init__()
        if not isinstance(model.head, FCOSHead | RetinaNetHead):
            raise ExportError(f"a detector with heads of the kind {type(model.head).__name__} cannot be exported")
        self.backbone, self.with_level, self.sigmoid = model.backbone, with_level, sigmoid
        self.classify, self.regress = model.head.classification_head, model.head.regression_head
        self.is_centred = isinstance(model.head, FCOSHead)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns scores (B, A * K, h, w) and numbers (B, A * 4, h, w) of each level, of images (B, 3, P, Q)."""
        features, outputs = self.backbone(images), list[Tensor]()
        levels = list(features.values()) if isinstance(features, Mapping) else [features]
        for level in levels:
            scores = self.sigmoid(self.classify.cls_logits(self.classify.conv(level)))
            regressed = self.regress.conv(level)
            numbers = self.regress.bbox_reg(regressed)
            if self.is_centred:
                scores = torch.sqrt(scores * self.sigmoid(self.regress.bbox_ctrness(regressed)))
                numbers = torch.relu(numbers)
            outputs += [scores, numbers]
        return (*outputs, levels[0]) if self.with_level else tuple(outputs)


class _RegionFeatures(nn.Module):
    """Averages a level over boxes; see `modicum.detect.detectors.torchvision_shapes.box_features`."""

    def forward(self, level: Tensor, rois: Tensor) -> Tensor:
        """Returns features (N, C) of a level (B, C, h, w) and rois (N, 5): place in the batch, and box in its cells."""
        features: Tensor = roi_align(level, rois, ROI_SIDE, 1.0, 2, aligned=True).mean(dim=(2, 3))
        return features


def exportable(detector: Detector) -> tuple[TorchvisionDetector | OnnxDetector, tuple[int, ...] | None]:
    """Returns the network behind a detector, and the labels under which its own are reported; None if they are.

    Raises:
        ExportError: If it is of a kind that cannot be written; the message says what can be.
    """
    if isinstance(detector, RelabelledDetector):
        inner, labels = exportable(detector.detector)
        own = detector.new_labels.tolist()
        return inner, tuple(own) if labels is None else tuple(own[label] if label >= 0 else -1 for label in labels)
    if isinstance(detector, OnnxDetector):
        return detector, None
    if not isinstance(detector, TorchvisionDetector):
        raise ExportError(
            f"a detector of the kind {type(detector).__name__} cannot be exported: modicum writes {EXPORTABLE}"
        )
    if not isinstance(detector.model, FCOS | RetinaNet):
        raise ExportError(
            f"a {type(detector.model).__name__} cannot be exported: modicum writes {EXPORTABLE}. Export it yourself as "
            "an ONNX file, and give that with a JSON file beside it that names its outputs"
        )
    return detector, None


@torch.inference_mode()
def write_detector(
    detector: Detector, folder: Path, role: str, *, with_features: bool, with_level: bool = False
) -> DetectorGraphs:
    """Writes the graphs of a detector on the CPU.

    Args:
        detector: What detects; its network stays as it is.
        folder: Where to write.
        role: Of this detector, e.g. "coarse".
        with_features: Whether features of boxes are wanted, which R-net may see.
        with_level: Whether the finest level of the whole picture is wanted, which the dense R-net sees.

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the detector cannot be expressed in ONNX.
    """
    network, new_labels = exportable(detector)
    if isinstance(network, OnnxDetector):
        return _copy(network, folder, role, new_labels)
    settings = _settings(network, new_labels)
    size = [times * settings.size_multiple for times in _EXAMPLE_MULTIPLES]
    with_level = with_level or with_features
    heads = DenseHeads(network.model, with_level=with_level, sigmoid=Logistic())
    graphs = {
        role: export_graph(
            fold_batch_norms(heads),
            (torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)),),
            folder / f"{role}.onnx",
            input_names=[IMAGES],
            output_names=_output_names(len(settings.cells), with_level=with_level),
            free=[{0: "batch", 2: "height", 3: "width"}],
        )
    }
    if with_features:
        regions = REGIONS.format(role)
        level = torch.randn(2, network.model.backbone.out_channels, 12, 16)
        rois = torch.tensor([[0, 1, 2, 5, 6], [1, 0, 0, 9, 7], [1, 2, 2, 4, 3]], dtype=torch.float32)
        graphs[regions] = export_graph(
            _RegionFeatures().eval(),
            (level, rois),
            folder / f"{role}_regions.onnx",
            input_names=[LEVEL, ROIS],
            output_names=[FEATURES],
            free=[{0: "batch", 2: "rows", 3: "columns"}, {0: "boxes"}],
        )
    return DetectorGraphs(graphs, settings)


@torch.inference_mode()
def check_detector(detector: Detector, runner: GraphDetector | DeclaredGraph) -> float:
    """Compares a detector with its exported form on pictures of two sizes, and returns the worst difference.

    What the graph gives is compared, and what numpy makes of the same numbers, so that two scores that differ in their
    last digit cannot change places between both. Boxes are compared relative to the size of the picture.

    Raises:
        ExportError: If an output differs by more than 1e-4.
    """
    network, _ = exportable(detector)
    if isinstance(network, OnnxDetector) or isinstance(runner, DeclaredGraph):
        return _check_copy(detector, runner)
    heads, worst = DenseHeads(network.model, with_level=runner.shows_level, sigmoid=nn.Sigmoid()).eval(), 0.0
    names = _output_names(len(runner.settings.cells), with_level=runner.shows_level)
    for height, width in _CHECKED_SIZES:
        pictures = sample_pictures(height, width)
        batch = runner.prepare(pictures)
        original = heads(torch.from_numpy(batch))
        raw = {name: each.numpy() for name, each in zip(names, original, strict=True)}
        worst = max(worst, check_parity(raw, runner.run(batch)))
        seen = runner.read(raw, (height, width), (batch.shape[2], batch.shape[3]))
        worst = max(worst, _compare(seen, detector.detect([to_tensor(each) for each in pictures]), width))
    return worst


def _check_copy(detector: Detector, runner: GraphDetector | DeclaredGraph) -> float:
    network, _ = exportable(detector)
    only = network.only_size if isinstance(network, OnnxDetector) else None
    worst = 0.0
    for height, width in [only] if only else _CHECKED_SIZES:
        pictures = sample_pictures(height, width)
        expected = detector.detect([to_tensor(each) for each in pictures])
        worst = max(worst, _compare(runner.detect(pictures), expected, width))
    return worst


def _compare(seen: Sequence[Seen], expected: Sequence[Detections], width: int) -> float:
    """Returns the worst difference of detections, boxes relative to the width; raises `ExportError` above 1e-4."""
    worst = 0.0
    for own, other in zip(seen, expected, strict=True):
        wanted: Outputs = {name: getattr(other, name).numpy() for name in ("scores", "labels")}
        found: Outputs = {"scores": own.found.scores, "labels": own.found.labels}
        wanted["boxes"], found["boxes"] = other.boxes.numpy() / width, own.found.boxes / width
        if own.features is not None and other.features is not None:
            wanted["features"], found["features"] = other.features.numpy(), own.features
        worst = max(worst, check_parity(wanted, found))
    return worst


def sample_pictures(height: int, width: int) -> list[Picture]:
    """Makes two fixed pictures (H, W, 3): noise on steps, and a ramp with noise."""
    generator = np.random.default_rng(0)
    steps = generator.integers(0, 256, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)
    ramp = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3))
    noisy = (steps[:height, :width], ramp)
    return [np.clip(each + generator.normal(0, 20, each.shape), 0, 255).astype(np.uint8) for each in noisy]


def to_tensor(picture: Picture) -> Tensor:
    """Returns a picture (H, W, 3) as a tensor (3, H, W)."""
    return torch.from_numpy(picture).permute(2, 0, 1)


def _output_names(levels: int, *, with_level: bool) -> list[str]:
    names = [name.format(index) for index in range(levels) for name in (SCORES, NUMBERS)]
    return [*names, LEVEL] if with_level else names


def _copy(network: OnnxDetector, folder: Path, role: str, new_labels: tuple[int, ...] | None) -> DetectorGraphs:
    """Writes a user's graph as it is."""
    path, stated = folder / f"{role}.onnx", network.declaration
    path.write_bytes(network.content)
    graph = describe_graph(path, [network.input_name], stated.outputs, network.opset)
    return DetectorGraphs({role: graph}, DeclaredSettings(stated, new_labels))


def _settings(network: TorchvisionDetector, new_labels: tuple[int, ...] | None) -> GraphSettings:
    bound = network.for_shape(*_CHECKED_SIZES[1]).model
    pixels = bound.transform
    assert isinstance(pixels, TruePixels)  # every detector but SSD is bound with it
    return GraphSettings(
        mean=pixels.mean,
        std=pixels.std,
        size_multiple=pixels.size_multiple,
        batch_pixels=network.batch_pixels,
        cells=tuple(_nested(level) for level in bound.anchor_generator.cell_anchors),
        coding=_coding(bound),
        min_score=bound.score_thresh,
        candidates=bound.topk_candidates,
        nms_iou=bound.nms_thresh,
        max_detections=bound.detections_per_img,
        new_labels=new_labels,
    )


def _nested(level: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, level.cpu().tolist()))


def _coding(model: Model) -> BoxCoding:
    coder = model.box_coder
    if isinstance(model, FCOS):
        if not coder.normalize_by_size:
            raise ExportError("an FCOS whose distances are in pixels cannot be exported: set normalize_by_size")
        return BoxCoding("distances")
    x, y, width, height = map(float, coder.weights)
    return BoxCoding("deltas", (x, y, width, height), float(coder.bbox_xform_clip))
