"""One detector of torchvision, bound to one shape of images: parts are shared with the model, settings are not."""

# B batch, H W size of the images, N detections of an image, C channels of the finest level
import copy
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.ssd import SSD
from torchvision.ops import MultiScaleRoIAlign, roi_align

from modicum.detect.boxes import Detections
from modicum.detect.detectors.true_pixels import TruePixels

Model: TypeAlias = "FCOS | RetinaNet | FasterRCNN | SSD"
M = TypeVar("M", bound=nn.Module)

ROI_SIDE = 7  # of the grid over which the features of a box are averaged
_FULL_PROPOSALS = 1000  # torchvision's own number


@dataclass(frozen=True)
class DetectionLimits:
    """How much a detector reports, and how many regions a two-stage one looks at.

    Attributes:
        min_score: Of the detections that are reported.
        max_detections: Of one image.
        nms_iou: Overlap above which the lower of two detections of a class is dropped; None leaves the model's own.
        proposals_per_megapixel: Regions that a two-stage detector looks at in proportion to the area of an image, at
            most 1,000, since their cost does not shrink with the image by itself.
        least_proposals: And at least so many.
        features: Whether the features of each box are reported.
    """

    min_score: float = 0.01
    max_detections: int = 300
    nms_iou: float | None = None
    proposals_per_megapixel: int = 480
    least_proposals: int = 50
    features: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_score < 1:
            raise ValueError(f"min_score must be in [0, 1), got {self.min_score}")
        if min(self.max_detections, self.proposals_per_megapixel, self.least_proposals) < 1:
            raise ValueError(f"numbers of detections and proposals must be at least 1, got {self}")

    def proposals(self, height: int, width: int) -> int:
        """Returns the number of regions for an image of this size.

        Example:
            >>> limits = DetectionLimits()
            >>> limits.proposals(1080, 1920), limits.proposals(288, 480)
            (995, 66)
        """
        share = round(self.proposals_per_megapixel * height * width / 1e6)
        return min(max(share, self.least_proposals), _FULL_PROPOSALS)


class ShapeDetector:
    """Runs a model on images of one shape. The model stays as it is; nothing of a call is kept.

    Args:
        model: In evaluation mode.
        shape: Height and width of the images.
        limits: What is reported.
    """

    def __init__(self, model: Model, shape: tuple[int, int], limits: DetectionLimits) -> None:
        self.shape, self._limits = shape, limits
        self._model = _bind(model, shape, limits)

    @property
    def model(self) -> Model:
        """A copy of the model with the settings for the shape, which shares the weights."""
        return self._model

    def detect(self, images: Tensor) -> list[Detections]:
        """Returns what the model finds in images (B, 3, H, W), float in [0, 1], on the CPU.

        Raises:
            ValueError: If the images have another shape.
        """
        return self._run(images)[0]

    def detect_with_maps(self, images: Tensor) -> list[tuple[Detections, Tensor]]:
        """Returns what the model finds in images, and the finest features (C, h, w) of each, on the CPU.

        Cells that are nothing but padding are cut off.

        Raises:
            ValueError: If the images have another shape.
        """
        found, finest, batch = self._run(images)
        tall, wide = (
            math.ceil(side * cells / padded)
            for side, cells, padded in zip(
                batch.image_sizes[0], finest.shape[-2:], batch.tensors.shape[-2:], strict=True
            )
        )
        return list(zip(found, finest[:, :, :tall, :wide].float().cpu(), strict=True))

    def _run(self, images: Tensor) -> tuple[list[Detections], Tensor, ImageList]:
        """Returns detections, the finest level (B, C, h, w), and the batch that the backbone got."""
        if tuple(images.shape[-2:]) != self.shape:
            raise ValueError(f"this detector is bound to images of {self.shape}, got {tuple(images.shape[-2:])}")
        batch, _ = self._model.transform(list(images))
        dtype = next(self._model.parameters()).dtype
        levels = _single(_by_name(self._model.backbone(batch.tensors.to(dtype))))
        finest = next(iter(levels.values()))
        parts: dict[str, nn.Module] = {"transform": _Ready(batch, self._model.transform), "backbone": _Given(levels)}
        if dtype != torch.float32 and not isinstance(self._model, FasterRCNN):
            parts["head"] = _InSingle(self._model.head, dtype)
        once = with_parts(self._model, **parts)
        results = once(list(images))
        features: Sequence[Tensor | None] = [None] * len(results)
        if self._limits.features:
            scale = _scale_of(batch, self.shape)
            features = box_features(finest, batch, [r["boxes"] * scale for r in results])
        found = [_detections(result, rows, self._limits) for result, rows in zip(results, features, strict=True)]
        return found, finest, batch


def with_parts(module: M, **parts: nn.Module | None) -> M:
    """Returns a copy of a module that shares all its parts but those given; the module itself stays as it is."""
    clone = copy.copy(module)
    clone._modules = {**module._modules, **parts}
    return clone


def box_features(level: Tensor, batch: ImageList, boxes: Sequence[Tensor]) -> list[Tensor]:
    """Returns the mean features (N, C) inside boxes of each image, which are in pixels of the batch.

    Args:
        level: Shape (B, C, h, w), the finest map.
        batch: What the backbone got.
        boxes: Shape (N, 4) for each image.
    """
    tall, wide = (of / by for of, by in zip(level.shape[-2:], batch.tensors.shape[-2:], strict=True))
    scale = level.new_tensor([wide, tall, wide, tall])
    grids = roi_align(level, [(each * scale).to(level.dtype) for each in boxes], ROI_SIDE, 1.0, 2, aligned=True)
    return list(grids.mean(dim=(2, 3)).float().split([len(each) for each in boxes]))


def _bind(model: Model, shape: tuple[int, int], limits: DetectionLimits) -> Model:
    """Returns a copy of a model with the settings for a shape; it shares the weights."""
    if isinstance(model, SSD):
        bound: Model = with_parts(model)  # its default boxes are shares of a picture of fixed size
    else:
        own = model.transform
        multiple = own.size_multiple if isinstance(own, TruePixels) else own.size_divisible
        mean, std = (own.mean, own.std) if isinstance(own, TruePixels) else (own.image_mean, own.image_std)
        bound = with_parts(model, transform=TruePixels(mean, std, multiple))
    if isinstance(bound, FasterRCNN):
        return _bind_regions(bound, shape, limits)
    bound.score_thresh, bound.detections_per_img = limits.min_score, limits.max_detections
    bound.topk_candidates = max(bound.topk_candidates, limits.max_detections)
    if limits.nms_iou is not None:
        bound.nms_thresh = limits.nms_iou
    return bound


def _bind_regions(model: FasterRCNN, shape: tuple[int, int], limits: DetectionLimits) -> FasterRCNN:
    count = limits.proposals(*shape)
    rpn = RegionProposalNetwork(
        model.rpn.anchor_generator,
        model.rpn.head,
        fg_iou_thresh=0.7,  # this and the three that follow are of training alone
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": count, "testing": count},
        post_nms_top_n={"training": count, "testing": count},
        nms_thresh=model.rpn.nms_thresh,
        score_thresh=model.rpn.score_thresh,
    )
    old = model.roi_heads.box_roi_pool
    pool = MultiScaleRoIAlign(  # it keeps the scales of the first shape that it sees
        old.featmap_names,
        old.output_size,
        old.sampling_ratio,
        canonical_scale=old.canonical_scale,
        canonical_level=old.canonical_level,
    )
    heads = with_parts(model.roi_heads, box_roi_pool=pool, mask_roi_pool=None, keypoint_roi_pool=None)
    heads.score_thresh, heads.detections_per_img = limits.min_score, limits.max_detections
    if limits.nms_iou is not None:
        heads.nms_thresh = limits.nms_iou
    return with_parts(model, rpn=rpn.eval(), roi_heads=heads)


class _Ready(nn.Module):
    """Takes the place of a transform whose work is done."""

    def __init__(self, batch: ImageList, transform: nn.Module) -> None:
        super().__init__()
        self.batch, self.postprocess = batch, transform.postprocess

    def forward(self, _images: object, targets: object = None) -> tuple[ImageList, object]:
        return self.batch, targets


class _InSingle(nn.Module):
    """Runs a head in the precision of its weights; places of boxes need more digits than half precision has."""

    def __init__(self, head: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.head, self.dtype = head, dtype

    def forward(self, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.head([level.to(self.dtype) for level in levels])
        return _single(outputs)


class _Given(nn.Module):
    """Takes the place of a backbone whose work is done."""

    def __init__(self, levels: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, _images: Tensor) -> Mapping[str, Tensor]:
        return self.levels


def _single(tensors: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Returns tensors in single precision."""
    return OrderedDict((name, tensor.float()) for name, tensor in tensors.items())


def _by_name(levels: Tensor | Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    return OrderedDict([("0", levels)] if isinstance(levels, Tensor) else levels.items())


def _scale_of(batch: ImageList, shape: tuple[int, int]) -> Tensor:
    """Returns the factors (4,) from pixels of the images to those that the backbone got, before padding."""
    tall, wide = (of / by for of, by in zip(batch.image_sizes[0], shape, strict=True))
    factors: Tensor = batch.tensors.new_tensor([wide, tall, wide, tall])
    return factors


def _detections(result: Mapping[str, Tensor], features: Tensor | None, limits: DetectionLimits) -> Detections:
    found = Detections(
        result["boxes"].float().cpu(),
        result["scores"].float().clamp(0, 1).cpu(),
        result["labels"].cpu(),
        None if features is None else features.cpu(),
    )
    return found.best_first(limits.max_detections)
