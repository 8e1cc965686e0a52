"""The steps, the decision and the checks of classifiers that ask after each step whether an answer is sure enough."""

# B batch, n images of a batch, M steps, K classes
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Group, Routed, Stepped
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import Exits, Leave, Leaving, Stage, pass_exit, run_through_exits
from modicum.adaptive.exits import ExitRule, FrozenTable
from modicum.adaptive.knobs import check_knob
from modicum.classify.confidence import log_mean, sureness
from modicum.classify.confidence_names import ConfidenceName
from modicum.classify.routed import Answers, check_images


class Waiting(NamedTuple):
    """Holds what images carry from one step to the next; all tensors have one row per image that has not left."""

    state: Any  # of the next step, nested as `modicum.adaptive.samples` takes it
    total: Tensor  # (n, K) float32: the sum of the probabilities of the steps so far
    first: Tensor  # (n,) int64: the class that the first step names
    agree: Tensor  # (n,) bool: whether all steps so far name it
    sure: Tensor  # (n, M) float32: how sure each step is, NaN for those to come


class ExitingClassifier(nn.Module, ABC):
    """Classifies images (B, 3, S, S) step by step; an image leaves with the answer of the first step that is sure.

    A `modicum.classify.evidence.AdaptiveClassifier` once a subclass sets ``costs``, ``policy``, ``sizes_px`` and
    ``num_classes``.

    Args:
        image_px: Side S of the images.
        num_steps: Steps M.
        average: Whether an answer is the mean of the probabilities of the steps so far, or the step's own.
        confidence: Measure of confidence; see `modicum.classify.confidence.sureness`.
        config: The arguments that rebuild the network, as they are stored.
    """

    policy: ExitRule
    costs: MenuCosts
    sizes_px: tuple[int, ...]
    """Side at which each step sees an image."""
    num_classes: int
    """Classes K."""

    def __init__(
        self, image_px: int, num_steps: int, *, average: bool, confidence: ConfidenceName, config: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.image_px, self.num_steps = image_px, num_steps
        self.average, self.confidence, self._config = average, confidence, dict(config)
        self.temperatures = FrozenTable(torch.ones(num_steps))

    @abstractmethod
    def step(self, index: int, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401  images (n, 3, S, S), then states
        """Returns logits (n, K), before the temperature, and the state of the next step."""

    @abstractmethod
    def plain_network(self) -> nn.Module:
        """Returns the most expensive network alone, which answers every image; it shares nothing with this one."""

    def every_step(self, images: Tensor) -> Answers:
        """Returns what every step answers to every image."""
        self.check_images(images)
        waiting: Any = images
        answers = []
        for stage in self._stages():
            answer, waiting = stage(waiting)
            answers.append(answer[:, self.num_steps :])
        return Answers(waiting.sure, torch.stack(answers, dim=1))

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, K) at knob 0."""
        return self.predict(images).outputs

    def scores(self, images: Tensor) -> Tensor:
        """Returns how sure every step is (B, M)."""
        return self.every_step(images).sure

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K), log-probabilities, of each image at its step ``routes`` (B,); later ones do not run.

        Raises:
            ValueError: If the routes are not one step in [0, M) per image.
        """
        self.check_images(images)
        routes = self._checked_routes(routes, len(images))

        def leave(index: int, rows: Tensor, answers: Tensor) -> Leaving:
            mask = routes[rows] == index
            return Leaving(mask, answers[mask.to(answers.device)])

        return run_through_exits(images, self._stages(), leave).outputs[:, self.num_steps :]

    def predict(self, images: Tensor, knob: float = 0.0) -> Routed:
        """Runs each image until a step is sure of it."""
        self.check_images(images)
        return self._routed(run_through_exits(images, self._stages(), self._leave_at(knob)))

    def advance(self, group: Group, knob: float) -> Stepped:
        """Takes one step; the knob of an image must be the same at all of its steps."""
        if group.key == 0:
            self.check_images(group.state)
        rows, exits, survivors = pass_exit(group, self._stages(), self._leave_at(knob))
        return Stepped(rows, None if exits is None else self._routed(exits), survivors)

    def check_images(self, images: Tensor) -> None:
        """Raises a `ValueError` that names the shape if ``images`` are not (B, 3, image_px, image_px)."""
        check_images(images, self.image_px)

    def storage_config(self) -> dict[str, Any]:
        """Returns what rebuilds this network."""
        return {**self._config, "rows": self.policy.rows}

    def _stages(self) -> Sequence[Stage]:
        return [partial(self._answer, index) for index in range(self.num_steps)]

    def _routed(self, exits: Exits) -> Routed:
        scores, logs = exits.outputs[:, : self.num_steps], exits.outputs[:, self.num_steps :]
        return Routed(logs, exits.routes, self.costs.of(exits.routes), scores.cpu())

    def _answer(self, index: int, before: Any) -> tuple[Tensor, Waiting]:  # noqa: ANN401  images, then `Waiting`
        """Returns sureness and log-probabilities side by side, (n, M + K), and what the images carry on."""
        logits, state = self.step(index, before.state if index else before)
        logs = (logits.float() / self.temperatures.values()[index]).log_softmax(dim=1)
        total, named = logs.exp(), logs.argmax(dim=1)
        first = before.first if index else named
        agree = (before.agree if index else torch.ones_like(named, dtype=torch.bool)) & (named == first)
        if index:
            total = total + before.total
        if self.average:
            logs = log_mean(total, index + 1)
        sure = before.sure.clone() if index else logs.new_full((len(logs), self.num_steps), float("nan"))
        sure[:, index] = sureness(logs.exp(), self.confidence, agree)
        return torch.cat([sure, logs], dim=1), Waiting(state, total, first, agree, sure)

    def _leave_at(self, knob: float) -> Leave:
        check_knob(knob)

        def leave(index: int, rows: Tensor, answers: Tensor) -> Leaving:
            mask = self.policy.leaves(index, answers[:, index], knob)
            return Leaving(mask, answers[mask.to(answers.device)])

        return leave

    def _checked_routes(self, routes: Tensor, num_images: int) -> Tensor:
        routes = routes.cpu()
        if routes.shape != (num_images,):
            raise ValueError(f"routes must be ({num_images},), one step per image, got {tuple(routes.shape)}")
        if num_images and not 0 <= int(routes.min()) <= int(routes.max()) < self.num_steps:
            raise ValueError(f"routes must lie in [0, {self.num_steps}), got {sorted(set(routes.tolist()))}")
        return routes
