"""RANet classifies an image on coarse maps first and, where that leaves doubt, on finer ones that build on them.

L. Yang, Y. Han, X. Chen, S. Song, J. Dai, G. Huang, *Resolution Adaptive Networks for Efficient Inference*, CVPR 2020.

Deviations from the authors' code: samples really leave at their exit (the code runs everything and simulates exits from
stored probabilities), maps that have their size already are not resized (bit-equal), exits pool adaptively (equal at
the published sizes), and image size, stem and classes are chosen separately. Beyond the paper: temperatures per exit, a
rule that weighs expected gain against cost, a light exit head.
"""

# B batch, n samples of a batch, C channels, H W positions, E exits, K classes
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from operator import add
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Routed
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import Exits, Leaving, run_through_exits
from modicum.adaptive.knobs import check_knob
from modicum.classify.ranet.blocks import HeadName, Stem
from modicum.classify.ranet.confidence import confidence_of, fit_temperatures
from modicum.classify.ranet.rules import (
    MOST_ROWS,
    CommonThreshold,
    ExitRule,
    FrozenTable,
    GeometricRule,
    RuleName,
    blank_gain_rule,
    fit_gain_rule,
    spread_rows,
)
from modicum.classify.ranet.segments import LastExit, Segment, State, count_pieces, create_segments
from modicum.classify.ranet.structure import (
    CIFAR_6_EXITS,
    CIFAR_8_EXITS,
    DIGITS,
    IMAGENET_LARGE,
    Structure,
)


class RANet(nn.Module):
    """A cascade of sub-networks from coarse to fine with exits in each; an image runs until an exit is sure of it.

    Images come as (B, 3, ``image_px``, ``image_px``). Before `fit_exits`, an image leaves at the first exit with a
    confidence of at least 1 - knob (`CommonThreshold`); after, the fitted rule decides.

    ``costs`` price a route as published, with every exit up to its own. That is an upper bound for `predict`, which
    leaves out exits where nobody can leave; curves and calibration, which price routes alone, therefore promise no
    more than what is executed saves. ``costs.plain`` is what the last exit takes alone.

    Args:
        structure: What to build.
        num_classes: Classes K.
        image_px: Side of the images in pixels; the published ones are 32 and 224.
        head: "full" is the published exit; "lite" pools at once, which saves most parameters, and is not in the paper.
        exit_rule: What `fit_exits` fits: "geometric" is the published family of thresholds, "gain" weighs the expected
            gain in correctness against the cost.
        temperature: `fit_exits` also fits one temperature per exit; the published evaluation has none.

    Raises:
        ValueError: If an argument has no meaning or the images are too small for the structure; the message says which.
    """

    storage_name = "ranet"

    def __init__(
        self,
        structure: Structure,
        *,
        num_classes: int,
        image_px: int = 32,
        head: HeadName = "full",
        exit_rule: RuleName = "geometric",
        temperature: bool = False,
    ) -> None:
        super().__init__()
        _check_arguments(structure, num_classes, image_px, head, exit_rule)
        self.structure, self.num_classes, self.image_px, self.head = structure, num_classes, image_px, head
        self.exit_rule, self.temperature = exit_rule, temperature
        self.stem, self.segments = Stem(structure), create_segments(structure, num_classes, head)
        for segment in self.segments:
            segment.apply(_initialise)  # the stem keeps torch's own, as in the authors' code
        self.temperatures = FrozenTable(torch.ones(structure.num_exits))
        self.policy: ExitRule = CommonThreshold(structure.num_exits)
        self.calibration_rows: int | None = None
        self._trunk_macs, self._head_macs = count_pieces(structure, num_classes, image_px, head)
        whole = self._cumulative_macs([True] * structure.num_exits)
        self.costs = MenuCosts(
            route_names=tuple(f"exit {number}" for number in range(1, structure.num_exits + 1)),
            per_route=tuple(float(macs) for macs in whole),
            alone=float(sum(self._trunk_macs) + self._head_macs[-1]),
        )

    def every_exit(self, images: Tensor) -> Tensor:
        """Logits (B, E, K) of every exit: for training, and for fitting the exits."""
        self.check_images(images)
        state, logits = self.stem(images), []
        for segment in self.segments:
            exit_logits, state = segment(*state)
            logits.append(exit_logits)
        return torch.stack(logits, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """As `every_exit`."""
        return self.every_exit(images)

    def scores(self, images: Tensor) -> Tensor:
        """Confidence (B, E) of every exit, float32 in [1/K, 1], after its temperature if one was fitted."""
        return confidence_of(self.every_exit(images), self.temperatures.values())

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Logits (B, K) of each image at its exit ``routes`` (B,).

        The exits on its way are computed, too, because a decision falls there: that is what the route is priced at, in
        multiply-adds and on the clock. Nothing behind its exit is.

        Raises:
            ValueError: If the routes are not one exit in [0, E) per image.
        """
        self.check_images(images)
        routes = self._checked_routes(routes, len(images))

        def leave(index: int, rows: Tensor, features: Tensor) -> Leaving:
            logits, mask = self._head_of(index)(features), routes[rows] == index
            return Leaving(mask, logits[mask.to(logits.device)])

        return self._run(images, leave)[0]

    def predict(self, images: Tensor, knob: float) -> Routed:
        """Runs each image until the policy lets it leave; exits where none can at this knob are not computed.

        The multiply-adds reported are those executed: `costs`, which prices closed exits as if they were computed, is
        an upper bound, met where none before an image's own exit is closed.
        """
        self.check_images(images)
        open_exits, temperatures = self.policy.open_exits(check_knob(knob)), self.temperatures.values()

        def leave(index: int, rows: Tensor, features: Tensor) -> Leaving:
            if not open_exits[index]:
                return Leaving(torch.zeros(len(rows), dtype=torch.bool), None)
            logits = self._head_of(index)(features)
            mask = self.policy.leaves(index, confidence_of(logits, temperatures[index]), knob)
            return Leaving(mask, logits[mask.to(logits.device)])

        logits, routes = self._run(images, leave)
        return Routed(logits, routes, self.executed_macs(routes, knob))

    def executed_macs(self, routes: Tensor, knob: float) -> Tensor:
        """Multiply-adds (N,), float64, of `predict` at this knob for images that leave at ``routes`` (N,)."""
        return torch.tensor(self._cumulative_macs(self.policy.open_exits(knob)), dtype=torch.float64)[routes.cpu()]

    def plain_network(self) -> nn.Module:
        """The last exit alone, which savings are measured against; it shares nothing with this network."""
        return LastExit(copy.deepcopy(self.stem), copy.deepcopy(self.segments))

    def fit_exits(self, logits: Tensor, labels: Tensor) -> None:
        """Fits the exit rule, and the temperatures if the network has them, on calibration samples.

        What is fitted is saved with the weights. Of more than 10,000 samples, as many, evenly spread, are kept for the
        geometric rule.

        Args:
            logits: What `every_exit` gave, (N, E, K), N at least 1; of samples neither trained nor tested on.
            labels: Shape (N,), int64.

        Raises:
            ValueError: If there are no samples, the shapes do not match, or a logit is not finite.
        """
        self._check_outcomes(logits, labels)
        device = self.temperatures.bits.device
        logits, labels = logits.detach().cpu().float(), labels.cpu()
        temperatures = fit_temperatures(logits, labels) if self.temperature else torch.ones(logits.shape[1])
        confidence = confidence_of(logits, temperatures)
        self.temperatures = FrozenTable(temperatures).to(device)
        if self.exit_rule == "gain":
            correct = logits.argmax(dim=2) == labels[:, None]
            self.policy = fit_gain_rule(confidence, correct, self._relative_costs()).to(device)
            self.calibration_rows = 0
        else:
            kept = spread_rows(confidence)
            self.policy = GeometricRule(kept).to(device)
            self.calibration_rows = len(kept)

    def expect_fitted(self, calibration_rows: int) -> None:
        """Makes room for a fitted rule that keeps so many rows, to be loaded.

        Raises:
            ValueError: If no fitted network keeps so many.
        """
        if self.exit_rule == "gain" and calibration_rows == 0:
            self.policy = blank_gain_rule(self._relative_costs())
        elif self.exit_rule == "geometric" and 1 <= calibration_rows <= MOST_ROWS:
            self.policy = GeometricRule(torch.zeros(calibration_rows, self.structure.num_exits))
        else:
            raise ValueError(f"calibration_rows cannot be {calibration_rows} for the exit rule {self.exit_rule!r}")
        self.calibration_rows = calibration_rows

    def storage_config(self) -> dict[str, Any]:
        """What rebuilds this network, with the size of what was fitted."""
        structure = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.structure).items()
        }
        return {
            "structure": structure,
            "num_classes": self.num_classes,
            "image_px": self.image_px,
            "head": self.head,
            "exit_rule": self.exit_rule,
            "temperature": self.temperature,
            "calibration_rows": self.calibration_rows,
        }

    def _run(self, images: Tensor, leave: Callable[[int, Tensor, Tensor], Leaving]) -> Exits:
        state = self.stem(images)
        if not len(images):
            return Exits(self.segments[0](*state)[0], torch.zeros(0, dtype=torch.int64))
        stages = [_on_state(cast(Segment, segment)) for segment in self.segments]
        return run_through_exits(state, stages, leave)

    def _cumulative_macs(self, open_exits: Sequence[bool]) -> tuple[int, ...]:
        """Multiply-adds from the image to each exit, where only some exits are computed."""
        heads = (macs * is_open for macs, is_open in zip(self._head_macs, open_exits, strict=True))
        return tuple(accumulate(map(add, self._trunk_macs, heads)))

    def _head_of(self, index: int) -> nn.Module:
        return cast(Segment, self.segments[index]).head

    def _relative_costs(self) -> Tensor:
        costs = torch.tensor(self.costs.per_route, dtype=torch.float64)
        return costs / costs[-1]

    def check_images(self, images: Tensor) -> None:
        """Raises a `ValueError` that names the shape if ``images`` are not (B, 3, image_px, image_px)."""
        side = self.image_px
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), got {tuple(images.shape)}")

    def _checked_routes(self, routes: Tensor, num_images: int) -> Tensor:
        routes, num_exits = routes.cpu(), self.structure.num_exits
        if routes.shape != (num_images,):
            raise ValueError(f"routes must be ({num_images},), one exit per image, got {tuple(routes.shape)}")
        if num_images and not 0 <= int(routes.min()) <= int(routes.max()) < num_exits:
            raise ValueError(f"routes must lie in [0, {num_exits}), got {sorted(set(routes.tolist()))}")
        return routes

    def _check_outcomes(self, logits: Tensor, labels: Tensor) -> None:
        wanted = (len(labels), self.structure.num_exits, self.num_classes)
        if not len(labels) or logits.shape != wanted:
            raise ValueError(
                f"logits must be (N, {wanted[1]}, {wanted[2]}) with one label each, N at least 1, "
                f"got {tuple(logits.shape)} for {len(labels)} labels"
            )
        if not logits.isfinite().all():
            raise ValueError("logits must be finite: the network diverged in training, or met damaged images")


def _on_state(segment: Segment) -> Callable[[State], tuple[Tensor, State]]:
    return lambda state: segment.features(*state)


def _initialise(module: nn.Module) -> None:
    """The published initialisation: normal with variance 2 / (k^2 outputs) for convolutions, no bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _check_arguments(structure: Structure, num_classes: int, image_px: int, head: str, exit_rule: str) -> None:
    for name, value, choices in (("head", head, get_args(HeadName)), ("exit_rule", exit_rule, get_args(RuleName))):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if image_px < 2 * structure.total_stride:
        raise ValueError(
            f"image_px must be at least {2 * structure.total_stride}, for coarsest maps of 2 positions a side, "
            f"got {image_px}"
        )


def rebuild_ranet(
    *,
    structure: Mapping[str, Any],
    num_classes: int,
    image_px: int,
    head: HeadName,
    exit_rule: RuleName,
    temperature: bool,
    calibration_rows: int | None,
) -> RANet:
    """A network from what `RANet.storage_config` gave, with room for what was fitted."""
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in structure.items()
    }
    network = RANet(
        Structure(**fields),
        num_classes=num_classes,
        image_px=image_px,
        head=head,
        exit_rule=exit_rule,
        temperature=temperature,
    )
    if calibration_rows is not None:
        network.expect_fitted(calibration_rows)
    return network


def ranet_cifar(num_classes: int = 10) -> RANet:
    """The published network of 8 exits for images of 32 px: 3.26 M parameters, 94 M multiply-adds with all exits."""
    return RANet(CIFAR_8_EXITS, num_classes=num_classes)


def ranet_cifar_small(num_classes: int = 10) -> RANet:
    """The network of 6 exits for images of 32 px: 2.45 M parameters, 61 M multiply-adds with all exits."""
    return RANet(CIFAR_6_EXITS, num_classes=num_classes)


def ranet_imagenet(num_classes: int = 1000) -> RANet:
    """The published network for images of 224 px: 149 M parameters, 3.33 G multiply-adds with all exits."""
    return RANet(IMAGENET_LARGE, num_classes=num_classes, image_px=224)


def ranet_digits(num_classes: int = 10) -> RANet:
    """A small network for images of 32 px: 1.37 M parameters, 16.5 M multiply-adds with all exits."""
    return RANet(DIGITS, num_classes=num_classes)
