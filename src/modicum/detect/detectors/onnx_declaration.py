"""What a JSON file beside an ONNX detector says of its input and outputs. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from modicum.imaging.normalisation import check_normalisation
from modicum.storage.errors import WeightsError, first_few
from modicum.storage.files import read_json_object

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]
Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True)
class OnnxDeclaration:
    """Describes the graph of a detector; the JSON file has these keys.

    Attributes:
        classes: Names of the classes by label.
        boxes: Name of the output with boxes, (B, N, 4) or (N, 4); None where they stand in ``combined`` or ``rows``.
        scores: Name of the output with scores: of one class each, (B, N), where there are ``labels``, else of every
            class, (B, N, K).
        labels: Name of the output with labels, (B, N); None where scores are those of every class.
        combined: Name of one output (B, 4 + K, N) or (B, N, 4 + K) with boxes and scores of every class, as YOLOv8 and
            YOLO11 give; None where they are apart.
        rows: Name of one output (B, N, 6) with a box, its score and its label in each row, as graphs with suppression
            inside give; None where they are apart.
        features: Name of an output with what the detector saw of each box, (B, N, F); None for none.
        box_format: "xyxy" corners, "xywh" corner and size, or "cxcywh" centre and size.
        boxes_are_shares: Whether boxes are shares of the input's size, as of DETR, and not pixels of it.
        activation: What turns scores into probabilities: "none" if they are, "sigmoid", or "softmax" over the classes,
            whose last one then stands for no object.
        first_label: The label that the graph gives to the first of ``classes``; lower ones stand for nothing.
        range: What white is in the input: 1 or 255.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel.
        channels: "rgb" or "bgr".
        size_multiple: Inputs are padded, below and to the right, to a multiple of this, where the graph takes any size.
        pad: Grey level of the padding, of 255.
        nms_iou: Overlap above which the lower of two detections of a class is dropped; None where the graph did that.
        min_score: Of the detections that are kept.
        max_detections: Of one image.
    """

    classes: tuple[str, ...]
    boxes: str | None = None
    scores: str | None = None
    labels: str | None = None
    combined: str | None = None
    rows: str | None = None
    features: str | None = None
    box_format: BoxFormat = "xyxy"
    boxes_are_shares: bool = False
    activation: Activation = "none"
    first_label: int = 0
    range: Literal[1, 255] = 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    size_multiple: int = 32
    pad: int = 114
    nms_iou: float | None = 0.6
    min_score: float = 0.01
    max_detections: int = 300

    def __post_init__(self) -> None:
        apart = self.boxes is not None and self.scores is not None
        if not self.classes or [apart, self.combined is not None, self.rows is not None].count(True) != 1:
            raise ValueError('it must state "classes", and "boxes" with "scores", or "combined", or "rows"')
        for name, allowed in (("box_format", BoxFormat), ("activation", Activation)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}")
        if self.range not in (1, 255) or self.channels not in ("rgb", "bgr"):
            raise ValueError(f'range must be 1 or 255, channels "rgb" or "bgr", got {self.range} and {self.channels!r}')
        if self.size_multiple < 1 or not 0 <= self.pad <= 255 or not 0 <= self.min_score < 1:
            raise ValueError("size_multiple must be at least 1, pad in [0, 255], min_score in [0, 1)")
        check_normalisation(self.mean, self.std)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are read; the first one holds the boxes."""
        names = (self.rows or self.combined or self.boxes, self.scores, self.labels, self.features)
        return tuple(dict.fromkeys(name for name in names if name is not None))


def declaration_beside(graph: Path) -> Path:
    """Returns where the JSON file of an ONNX file is: beside it, under the same name."""
    return graph.with_suffix(".json")


def read_declaration(graph: Path) -> OnnxDeclaration:
    """Reads the JSON file beside an ONNX file.

    Raises:
        WeightsError: If it is missing, or states something that cannot be used.
    """
    file = declaration_beside(graph)
    if not file.is_file():
        raise WeightsError(
            f"{file} does not exist: an ONNX detector needs a JSON file beside it that names its outputs, such as "
            '{"classes": ["car"], "boxes": "boxes", "scores": "scores", "labels": "labels"}'
        )
    stated = read_json_object(file)
    known = [field.name for field in fields(OnnxDeclaration)]
    if unknown := sorted(set(stated) - set(known)):
        raise WeightsError(f"{file} states {first_few(unknown)}; it may state {', '.join(known)}")
    try:
        return parse_declaration(stated)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{file} cannot be used: {error}") from error


def parse_declaration(stated: Mapping[str, Any]) -> OnnxDeclaration:
    """Returns a declaration of plain JSON: lists become tuples, and classes text; raises TypeError or ValueError."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()}
    if "classes" in values:
        values["classes"] = tuple(map(str, values["classes"]))
    return OnnxDeclaration(**values)
