"""Any detector of torchvision: FCOS, RetinaNet, Faster R-CNN (Mask R-CNN's boxes, too), SSD and SSDlite."""

# B batch, H W size of the images in px
import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.ssd import SSD

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import group_by_shape, in_order, split_evenly
from modicum.detect.detectors.torchvision_shapes import DetectionLimits, Model, ShapeDetector
from modicum.detect.detectors.true_pixels import TruePixels, padded_shape
from modicum.measuring.counting import count_macs

T = TypeVar("T")
_KINDS = (FCOS, RetinaNet, FasterRCNN, SSD)


@final
class TorchvisionDetector:
    """A model of torchvision that sees the pixels it is given; for each shape of images there is one bound detector.

    Args:
        model: In evaluation mode, on its device; nothing is ever set on it.
        classes: Names by the labels that the model gives; label 0 of Faster R-CNN and SSD is the background.
        limits: What is reported.
        batch_pixels: Pixels of the images that run at once, at least one image; bounds the memory.

    Raises:
        ValueError: If the model is in training mode, of another kind, or gives more or fewer labels than classes.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: Sequence[str],
        *,
        limits: DetectionLimits | None = None,
        batch_pixels: int = 2_200_000,
    ) -> None:
        if not isinstance(model, _KINDS):
            names = ", ".join(kind.__name__ for kind in _KINDS)
            raise ValueError(
                f"model must be a detector of torchvision ({names}), got {type(model).__name__}: "
                "wrap others in CallableDetector"
            )
        if model.training:
            raise ValueError(f"model must be in evaluation mode: call eval() on the {type(model).__name__}")
        self._model: Model = model
        if (count := _num_labels(model)) not in (None, len(classes)):
            raise ValueError(
                f"the model gives {count} labels, but {len(classes)} classes are named: name each, in order"
            )
        self._classes, self.limits, self._batch_pixels = tuple(classes), limits or DetectionLimits(), batch_pixels
        self._bound: dict[tuple[int, int], ShapeDetector] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return self._classes

    @property
    def model(self) -> Model:
        """The model, as it was given."""
        return self._model

    @property
    def batch_pixels(self) -> int:
        """Pixels of the images that run at once, at least one image."""
        return self._batch_pixels

    @property
    def squeezes_to(self) -> tuple[int, int] | None:
        """Height and width that SSD squeezes every image to; None for all others."""
        if not isinstance(self._model, SSD):
            return None
        width, height = self._model.transform.fixed_size
        return height, width

    def for_shape(self, height: int, width: int) -> ShapeDetector:
        """Returns the detector that is bound to images of a shape; the same one for the same shape."""
        shape = (height, width)
        if shape not in self._bound:  # two threads may both bind one; either will do
            self._bound[shape] = ShapeDetector(self._model, shape, self.limits)
        return self._bound[shape]

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns what the model finds in each image (3, H, W), uint8; see `Detector.detect`."""
        return self._run(images, ShapeDetector.detect)

    def detect_with_maps(self, images: Sequence[Tensor]) -> list[tuple[Detections, Tensor]]:
        """Returns what the model finds in each image, and its finest features; see `MappingDetector`."""
        return self._run(images, ShapeDetector.detect_with_maps)

    @torch.inference_mode()
    def _run(self, images: Sequence[Tensor], run: Callable[[ShapeDetector, Tensor], list[T]]) -> list[T]:
        device = next(self._model.parameters()).device
        found: dict[int, T] = {}
        for shape, places in group_by_shape(images):
            bound = self.for_shape(*shape)
            for part in split_evenly(places, self._batch_pixels // (shape[0] * shape[1])):
                batch = torch.stack([images[place] for place in part]).to(device).float().div_(255)
                found.update(zip(part, run(bound, batch), strict=True))
        return in_order(found)

    def macs(self, height: int, width: int) -> int:
        """Counts trunk and dense heads at the shape that they get, and region heads by the number of proposals."""
        regions = self.limits.proposals(height, width) * self._macs_of_region if self._macs_of_region else 0
        return self._dense_macs(self.input_shape(height, width)) + regions

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width of the tensor that enters the backbone for an image of this size."""
        if self.squeezes_to is not None:
            return self.squeezes_to
        own = self._model.transform
        return padded_shape((height, width), own.size_multiple if isinstance(own, TruePixels) else own.size_divisible)

    def _dense_macs(self, shape: tuple[int, int]) -> int:
        if shape not in self._counted:
            model = self._on_meta
            head = model.rpn.head if isinstance(model, FasterRCNN) else model.head

            def run(images: Tensor) -> None:
                levels = model.backbone(images)
                head(list(levels.values()) if isinstance(levels, Mapping) else [levels])

            self._counted[shape] = count_macs(run, torch.empty(1, 3, *shape, device="meta"))
        return self._counted[shape]

    @cached_property
    def _counted(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _macs_of_region(self) -> int:
        """Multiply-adds of the heads for one proposal; 0 of one-stage detectors."""
        model = self._on_meta
        if not isinstance(model, FasterRCNN):
            return 0
        heads, channels = model.roi_heads, model.backbone.out_channels
        grid = torch.empty(1, channels, *heads.box_roi_pool.output_size, device="meta")
        return count_macs(lambda pooled: heads.box_predictor(heads.box_head(pooled)), grid)

    @cached_property
    def _on_meta(self) -> Model:
        return copy.deepcopy(self._model).to("meta").eval()


def _num_labels(model: Model) -> int | None:
    """Returns the number of labels that a model gives, the background included; None where its head does not say."""
    if isinstance(model, FasterRCNN):
        predictor = model.roi_heads.box_predictor
        return int(predictor.cls_score.out_features) if isinstance(predictor, FastRCNNPredictor) else None
    head = model.head.classification_head
    return int(head.num_columns if isinstance(model, SSD) else head.num_classes)
