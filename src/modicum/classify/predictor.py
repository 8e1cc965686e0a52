"""From what a user holds (a path, a picture, an array) to a class, its probability, and what it cost."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.contract import AdaptiveNetwork, Group, Routed, device_of, dtype_of
from modicum.adaptive.costs import require_plain
from modicum.adaptive.drift import Drift, RouteCounts, compare_routes
from modicum.adaptive.knobs import check_knob
from modicum.datasets.preprocessing import Preprocessing
from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Source, name_of, read_pixels
from modicum.prediction import PICTURE_KINDS, Advanced, Failure, Limits, Pending, pend
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json, tell_files

NUM_BEST = 5  # classes that an answer names


class _State(NamedTuple):
    """Holds what a pending image needs to go on."""

    name: str
    group: Group  # what the network needs of it
    knob: float | None  # that its route was decided at; None before


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Attributes:
        name: Its path, or its place among the inputs.
        label: The most probable class.
        probability: Its probability, in [0, 1].
        route: Name of the route it took, e.g. ``"112 px"``.
        macs: Multiply-adds that it took, the decision included.
        cost: The same as a share of the plain network's.
        best: The most probable classes, at most five, with their probabilities, descending.
        steps: Confidence of each step that ran, in order, by its name; empty where a network decides before it runs.
        files: Paths of the explanation, where one was written.
    """

    name: str
    label: str
    probability: float
    route: str
    macs: float
    cost: float
    best: tuple[tuple[str, float], ...] = ()
    steps: tuple[tuple[str, float], ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        steps = " > ".join(f"{name} ({sure:.0%} sure)" for name, sure in self.steps)
        what = f"{printable(self.label)} ({self.probability:.1%}), {steps or self.route}"
        return f"{printable(self.name)}: {what}, {self.cost:.0%} of the plain cost{tell_files(self.files)}"

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON."""
        told = {name: value for name, value in asdict(self).items() if name not in ("best", "steps", "files")}
        best = [{"label": label, "probability": share} for label, share in self.best]
        steps = [{"step": step, "sure": sure} for step, sure in self.steps]
        return {**told, "best": best, "steps": steps, **files_to_json(self.files)}

    def pictures(self) -> Mapping[str, Image]:
        """Returns nothing: there is nothing to see."""
        return {}

    def encode(self) -> Mapping[str, bytes]:
        """Returns nothing: no file is written."""
        return {}


class Predictor:
    """Classifies images at a knob; call it with one image, or use `predict_all` for many.

    Args:
        network: In evaluation mode, on the device to run on.
        preprocessing: How a picture becomes what the network gets: also says what the network takes.
        classes: Names of the classes.
        knob: Trades accuracy for cost, where a call names none; the higher, the cheaper.
        calibration: Calibration of its knob, with whose images `drift` compares those that it answers.

    Raises:
        KnobError: If ``knob`` is not a finite number.
    """

    def __init__(
        self,
        network: AdaptiveNetwork,
        *,
        preprocessing: Preprocessing,
        classes: Sequence[str],
        knob: float,
        calibration: Calibration | None = None,
    ) -> None:
        self.network, self.preprocessing, self.classes = network, preprocessing, tuple(classes)
        self.knob, self.calibration = check_knob(knob), calibration
        self._seen = RouteCounts()
        self._transform = preprocessing.eval_transform()
        self._device = device_of(network)

    @property
    def limits(self) -> Limits:
        """Accepts pictures of any size, which are resized to the network's input, and any finite knob."""
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
        return self._predict_batches(images, batch_size, self._checked(knob))

    @torch.inference_mode()
    def start(self, images: Iterable[Source]) -> list[Pending[_State] | Failure]:
        """Reads images, each of which waits for the network's first step then; see `modicum.prediction.Predictor`."""
        read = [self._read(place, image) for place, image in enumerate(images)]
        states = [
            each if isinstance(each, Failure) else _State(each[0], Group.start(self._batch([each[1]])), None)
            for each in read
        ]
        return pend(states, lambda state: state.group.key, is_decided=False)

    @torch.inference_mode()
    def advance(self, pendings: Sequence[Pending[_State]], *, knob: float | None = None) -> Advanced:
        """Takes one step of the network with images of one group; see `modicum.prediction.Predictor`."""
        states = [pending.state for pending in pendings]
        knobs = [self._checked(knob) if state.knob is None else state.knob for state in states]
        stepped = self.network.advance(Group.join([state.group for state in states]), self._checked(knob))
        places = stepped.rows.tolist()
        answers = (
            []
            if stepped.finished is None
            else self._answers([states[place].name for place in places], stepped.finished)
        )
        finished = [(pendings[place].item, answer) for place, answer in zip(places, answers, strict=True)]
        self._count(
            [answer for place, answer in zip(places, answers, strict=True) if self._is_calibrated(knobs[place])]
        )
        waiting = [
            Pending(
                pendings[int(one.rows)].item,
                one.key,
                _State(states[int(one.rows)].name, one, knobs[int(one.rows)] if one.is_decided else None),
                one.is_decided,
            )
            for survivor in stepped.survivors
            for one in survivor.split()
        ]
        return Advanced(finished, waiting)

    def drift(self) -> Drift | None:
        """Compares the routes of all images so far, at the calibrated knob, with those that this was calibrated on.

        Where they differ by more than chance (`Drift.is_beyond_chance`), the images are no longer like the calibration
        images, and what was promised of cost and loss no longer holds. Threads may ask at any time.

        Returns:
            None where there is no calibration, or an older version made it, which noted no routes.
        """
        calibrated = self.calibration.routes if self.calibration is not None else None
        return None if calibrated is None else compare_routes(calibrated, self._seen.counts())

    def _is_calibrated(self, knob: float) -> bool:
        return self.calibration is not None and knob == self.calibration.knob

    def _count(self, answers: Iterable[Prediction]) -> None:
        self._seen.add(answer.route for answer in answers)

    def _checked(self, knob: float | None) -> float:
        return self.knob if knob is None else check_knob(knob)

    def _predict_batches(
        self, images: Iterable[Source], batch_size: int, knob: float
    ) -> Iterator[Prediction | Failure]:
        waiting: list[tuple[str, Tensor] | Failure] = []
        for place, image in enumerate(images):
            waiting.append(self._read(place, image))
            if len(waiting) == batch_size:
                yield from self._flush(waiting, knob)
                waiting = []
        yield from self._flush(waiting, knob)

    def _read(self, place: int, image: Source) -> tuple[str, Tensor] | Failure:
        name = name_of(image, place)
        try:
            return name, self._transform(read_pixels(image))
        except BadImageError as error:
            return Failure(name, str(error))

    def _flush(self, waiting: list[tuple[str, Tensor] | Failure], knob: float) -> Iterator[Prediction | Failure]:
        readable = [each for each in waiting if not isinstance(each, Failure)]
        predictions = iter(self._predict(readable, knob) if readable else [])
        for each in waiting:
            yield each if isinstance(each, Failure) else next(predictions)

    @torch.inference_mode()
    def _predict(self, readable: Sequence[tuple[str, Tensor]], knob: float) -> list[Prediction]:
        images = self._batch([image for _, image in readable])
        answers = self._answers([name for name, _ in readable], self.network.predict(images, knob))
        if self._is_calibrated(knob):
            self._count(answers)
        return answers

    def _batch(self, pixels: Sequence[Tensor]) -> Tensor:
        images = self.preprocessing.normalise(torch.stack(list(pixels)).to(self._device))
        return images.to(dtype_of(self.network))

    def _answers(self, names: Sequence[str], routed: Routed) -> list[Prediction]:
        probabilities, labels = routed.outputs.float().softmax(dim=1).topk(min(NUM_BEST, len(self.classes)), dim=1)
        routes, plain = self.network.costs.names(routed.routes), require_plain(self.network.costs)
        columns = (names, labels.tolist(), probabilities.tolist(), routes, routed.macs.tolist(), self._steps(routed))
        answers = []
        for name, ordered, shares, route, macs, steps in zip(*columns, strict=True):
            best = tuple((self.classes[label], share) for label, share in zip(ordered, shares, strict=True))
            answers.append(Prediction(name, *best[0], route, macs, macs / plain, best, steps))
        return answers

    def _steps(self, routed: Routed) -> list[tuple[tuple[str, float], ...]]:
        """Returns how sure each step was that ran for each image; nothing where the network does not note it."""
        if routed.scores is None:
            return [()] * len(routed.routes)
        names = self.network.costs.names(torch.arange(routed.scores.shape[1]))
        rows = (zip(names, row, strict=True) for row in routed.scores.tolist())
        return [tuple((name, sure) for name, sure in row if not math.isnan(sure)) for row in rows]
