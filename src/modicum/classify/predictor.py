"""From what a user holds (a path, a picture, an array) to a class, its probability, and what it cost."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from modicum.adaptive.contract import AdaptiveNetwork, device_of, dtype_of
from modicum.adaptive.costs import require_plain
from modicum.adaptive.knobs import check_knob
from modicum.contract import PICTURE_KINDS, Failure, Limits
from modicum.datasets.preprocessing import Preprocessing
from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Source, name_of, read_pixels
from modicum.storage.names import printable


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

    def pictures(self) -> Mapping[str, Image]:
        """Returns nothing: there is nothing to see."""
        return {}


class Predictor:
    """Classifies images at a knob; call it with one image, or use `predict_all` for many.

    Args:
        network: In evaluation mode, on the device to run on.
        preprocessing: How a picture becomes what the network gets: also says what the network takes.
        classes: Names of the classes.
        knob: Trades accuracy for cost, where a call names none; the higher, the cheaper.

    Raises:
        KnobError: If ``knob`` is not a finite number.
    """

    def __init__(
        self, network: AdaptiveNetwork, *, preprocessing: Preprocessing, classes: Sequence[str], knob: float
    ) -> None:
        self.network, self.preprocessing, self.classes = network, preprocessing, tuple(classes)
        self.knob = check_knob(knob)
        self._transform = preprocessing.eval_transform()
        self._device = device_of(network)

    @property
    def limits(self) -> Limits:
        """What it takes: pictures of any size, which are brought to the network's, and any finite knob."""
        return Limits(PICTURE_KINDS, size_px=self.preprocessing.size, smallest_px=1, knobs=(-math.inf, math.inf))

    def __call__(self, image: Source, *, knob: float | None = None) -> Prediction:
        """Returns what the network says of one image: a path, the bytes of a file, a PIL image, or an array.

        Args:
            image: The image.
            knob: Of this call; None takes the predictor's.

        Raises:
            BadImageError: If it cannot be read.
            KnobError: If ``knob`` is not a finite number.
        """
        prediction = next(self.predict_all([image], batch_size=1, knob=knob))
        if isinstance(prediction, Failure):
            raise BadImageError(str(prediction))
        return prediction

    def predict_all(
        self, images: Iterable[Source], *, batch_size: int = 32, knob: float | None = None
    ) -> Iterator[Prediction | Failure]:
        """Yields what the network says of each image, in order; unreadable images are reported and skipped.

        Args:
            images: Read as they are needed.
            batch_size: Images per call of the network.
            knob: Of this call; None takes the predictor's.

        Raises:
            ValueError: If ``batch_size`` is below 1.
            KnobError: If ``knob`` is not a finite number.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return self._predict_batches(images, batch_size, self.knob if knob is None else check_knob(knob))

    def _predict_batches(
        self, images: Iterable[Source], batch_size: int, knob: float
    ) -> Iterator[Prediction | Failure]:
        waiting: list[tuple[str, Tensor | Failure]] = []
        for place, image in enumerate(images):
            name = name_of(image, place)
            waiting.append((name, self._read(name, image)))
            if len(waiting) == batch_size:
                yield from self._flush(waiting, knob)
                waiting = []
        yield from self._flush(waiting, knob)

    def _read(self, name: str, image: Source) -> Tensor | Failure:
        try:
            return self._transform(read_pixels(image))
        except BadImageError as error:
            return Failure(name, str(error))

    def _flush(self, waiting: list[tuple[str, Tensor | Failure]], knob: float) -> Iterator[Prediction | Failure]:
        readable = [(name, image) for name, image in waiting if isinstance(image, Tensor)]
        predictions = iter(self._predict(readable, knob) if readable else [])
        for _, image in waiting:
            yield image if isinstance(image, Failure) else next(predictions)

    @torch.inference_mode()
    def _predict(self, readable: Sequence[tuple[str, Tensor]], knob: float) -> list[Prediction]:
        pixels = torch.stack([image for _, image in readable]).to(self._device)
        images = self.preprocessing.normalise(pixels).to(dtype_of(self.network))
        routed = self.network.predict(images, knob)
        probabilities, labels = routed.outputs.float().softmax(dim=1).max(dim=1)
        names, plain = self.network.costs.names(routed.routes), require_plain(self.network.costs)
        columns = (labels.tolist(), probabilities.tolist(), names, routed.macs.tolist())
        return [
            Prediction(name, self.classes[label], probability, route, macs, macs / plain)
            for (name, _), label, probability, route, macs in zip(readable, *columns, strict=True)
        ]
