"""A user's own function as a detector."""

# H W size of an image in px, N detections, F features
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import check_image

Takes = Literal["uint8", "float", "array"]
Function = Callable[[list[Any]], Sequence[Any]]

_RIGHT = (
    'each answer must be a Detections, or have "boxes" (N, 4) as left, top, right, bottom in px, "scores" and "labels"'
)


@final
class CallableDetector:
    """Wraps a function from images to their detections. It must not resize them, or zooming saves nothing.

    Args:
        function: From a list of images to one answer each, in order: `Detections`, or a mapping with "boxes" (N, 4),
            "scores" (N,) and "labels" (N,), and perhaps "features" (N, F), of tensors, arrays or lists.
        classes: Names of the classes by label.
        takes: What it gets: "uint8" tensors (3, H, W) from 0 to 255, "float" ones from 0 to 1, as models of torchvision
            take them, or "array" (H, W, 3) of uint8, RGB.
        macs: From height and width of an image to the multiply-adds for it; None where nobody knows.
        squeezes_to: Height and width to which the function squeezes all images, if it does.

    Example:
        >>> def nothing(images):
        ...     return [{"boxes": [], "scores": [], "labels": []} for _ in images]
        >>> image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        >>> [len(found) for found in CallableDetector(nothing, ["car"]).detect([image])]
        [0]
    """

    def __init__(
        self,
        function: Function,
        classes: Sequence[str],
        *,
        takes: Takes = "uint8",
        macs: Callable[[int, int], int] | None = None,
        squeezes_to: tuple[int, int] | None = None,
    ) -> None:
        self._function, self._classes, self._takes, self._macs = function, tuple(classes), takes, macs
        self._squeezes_to = squeezes_to

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return self._classes

    @property
    def squeezes_to(self) -> tuple[int, int] | None:
        """Height and width to which the function squeezes images, as its author says."""
        return self._squeezes_to

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns what the function finds in each image (3, H, W), uint8; see `Detector.detect`.

        Raises:
            ValueError: If its answers are not what they should be.
        """
        for image in images:
            check_image(image)
        answers = self._function([self._given(image) for image in images])
        if len(answers) != len(images):
            raise ValueError(
                f"the detector got {len(images)} image(s) and gave {len(answers)} answer(s): give one each"
            )
        return [_to_detections(answer, len(self._classes)) for answer in answers]

    def macs(self, height: int, width: int) -> int | None:
        """Returns the multiply-adds for one image as the author of the function counts them; None if unknown."""
        return None if self._macs is None else self._macs(height, width)

    def _given(self, image: Tensor) -> Tensor | NDArray[np.uint8]:
        if self._takes == "array":
            return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return image if self._takes == "uint8" else image.float().div_(255)


def _to_detections(answer: object, num_classes: int) -> Detections:
    if isinstance(answer, Detections):
        found = answer
    elif isinstance(answer, Mapping) and {"boxes", "scores", "labels"} <= set(answer):
        try:
            features = answer.get("features")
            found = Detections(
                _tensor(answer["boxes"], torch.float32).reshape(-1, 4),
                _tensor(answer["scores"], torch.float32),
                _tensor(answer["labels"], torch.int64),
                None if features is None else _tensor(features, torch.float32),
            )
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"the detector's answer cannot be used: {error}; {_RIGHT}") from error
    else:
        told = f"the keys {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else type(answer).__name__
        raise ValueError(f"the detector gave {told}: {_RIGHT}")
    if len(found) and int(found.labels.max()) >= num_classes:
        raise ValueError(
            f"the detector gave the label {int(found.labels.max())}, but has {num_classes} class(es): name them all"
        )
    return found


def _tensor(values: Any, dtype: torch.dtype) -> Tensor:  # noqa: ANN401  what a user's function gives
    return torch.as_tensor(values).detach().to("cpu", dtype)
