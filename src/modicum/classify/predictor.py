"""From what a user holds (a path, a picture, an array) to a class, its probability, and what it cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from modicum.adaptive.contract import AdaptiveClassifier, device_of
from modicum.classify.data import Preprocessing
from modicum.imaging.decoding import BadImageError, decode, upright_rgb
from modicum.imaging.files import Failure
from modicum.storage.names import printable

Input = str | Path | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Attributes:
        name: Its path, or its place among the inputs.
        label: The most probable class.
        probability: Its probability, in [0, 1].
        route: What the route it took is called, e.g. ``"112 px"``.
        macs: Multiply-adds that it took, the decision included.
        cost: The same as a share of the plain network's.
    """

    name: str
    label: str
    probability: float
    route: str
    macs: float
    cost: float

    def __str__(self) -> str:
        what = f"{printable(self.label)} ({self.probability:.1%}), {self.route}"
        return f"{printable(self.name)}: {what}, {self.cost:.0%} of the plain cost"

    def to_json(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return asdict(self)


class Predictor:
    """Classifies images at a knob; call it with one image, or use `predict_all` for many.

    Args:
        network: In evaluation mode, on the device to run on.
        preprocessing: How a picture becomes what the network gets: also says what the network takes.
        classes: Names of the classes.
        knob: Trades accuracy for cost.
    """

    def __init__(
        self, network: AdaptiveClassifier, *, preprocessing: Preprocessing, classes: Sequence[str], knob: float
    ) -> None:
        self.network, self.preprocessing, self.classes, self.knob = network, preprocessing, tuple(classes), knob
        self._transform = preprocessing.eval_transform()
        self._device = device_of(network)

    def __call__(self, image: Input) -> Prediction:
        """What the network says of one image: a path, a PIL image, or an array (H, W, 3) uint8.

        Raises:
            BadImageError: If it cannot be read.
        """
        prediction = next(self.predict_all([image], batch_size=1))
        if isinstance(prediction, Failure):
            raise BadImageError(str(prediction))
        return prediction

    def predict_all(self, images: Iterable[Input], *, batch_size: int = 32) -> Iterator[Prediction | Failure]:
        """What the network says of each image, in order, as they come; one that cannot be read costs only itself."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        waiting: list[tuple[str, Tensor | Failure]] = []
        for place, image in enumerate(images):
            name = str(image) if isinstance(image, str | Path) else f"image {place}"
            waiting.append((name, self._read(name, image)))
            if len(waiting) == batch_size:
                yield from self._flush(waiting)
                waiting = []
        yield from self._flush(waiting)

    def _read(self, name: str, image: Input) -> Tensor | Failure:
        try:
            return self._transform(_open(image))
        except BadImageError as error:
            return Failure(name, str(error))

    def _flush(self, waiting: list[tuple[str, Tensor | Failure]]) -> Iterator[Prediction | Failure]:
        readable = [(name, image) for name, image in waiting if isinstance(image, Tensor)]
        predictions = iter(self._predict(readable) if readable else [])
        for _, image in waiting:
            yield image if isinstance(image, Failure) else next(predictions)

    @torch.inference_mode()
    def _predict(self, readable: Sequence[tuple[str, Tensor]]) -> list[Prediction]:
        pixels = torch.stack([image for _, image in readable]).to(self._device)
        routed = self.network.predict(self.preprocessing.normalise(pixels), self.knob)
        probabilities, labels = routed.logits.float().softmax(dim=1).max(dim=1)
        names, plain = self.network.costs.names(routed.routes), self.network.costs.plain
        columns = (labels.tolist(), probabilities.tolist(), names, routed.macs.tolist())
        return [
            Prediction(name, self.classes[label], probability, route, macs, macs / plain)
            for (name, _), label, probability, route, macs in zip(readable, *columns, strict=True)
        ]


def _open(image: Input) -> Image.Image | NDArray[np.uint8]:
    if isinstance(image, str | Path):
        try:
            return decode(Path(image).read_bytes())
        except OSError as error:
            raise BadImageError(error.strerror or str(error)) from error
    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BadImageError(f"an array must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)  # OpenCV's users reverse the channels by a negative stride
