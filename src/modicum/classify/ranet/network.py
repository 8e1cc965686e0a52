"""Classifies an image on coarse maps first and, where that leaves doubt, on finer ones that build on them.

L. Yang, Y. Han, X. Chen, S. Song, J. Dai, G. Huang, *Resolution Adaptive Networks for Efficient Inference*, CVPR 2020.
Figure 3, with two exits in the coarsest sub-network and two more in each finer one:

    images -> stem -> one map per sub-network
    sub-network 1, coarsest:                               dense > exit 1, dense > exit 2
    sub-network 2:            fusion, fusion,              dense > exit 3, dense > exit 4
    sub-network 3, finest:    fusion, fusion, fusion, fusion, dense > exit 5, dense > exit 6

Each fusion block also reads the block of its number one sub-network above. A `Segment` is what runs between two exits.

Deviations from the authors' code: samples really leave at their exit (the code runs everything and simulates exits from
stored probabilities), maps that have their size already are not resized (bit-equal), exits pool adaptively (equal at
the published sizes), and image size, stem and classes are chosen separately. Beyond the paper: temperatures per exit, a
rule that weighs expected gain against cost, a light exit head, answers that are means over the exits so far.
"""

# B batch, n samples of a batch, C channels, H W positions, E exits, K classes
import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import accumulate
from operator import add
from typing import Any, get_args

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Group, Routed, Stepped
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import Leave, Leaving, Stage, pass_exit, run_through_exits
from modicum.adaptive.exits import CommonThreshold, ExitRule, FrozenTable, RuleName, blank_exit_rule, fit_exit_rule
from modicum.adaptive.knobs import check_knob
from modicum.classify.confidence import average_logs, check_outcomes, confidence_of, fit_temperatures, log_mean
from modicum.classify.ranet.blocks import Stem
from modicum.classify.ranet.segments import LastExit, State, count_pieces, create_segments
from modicum.classify.ranet.structure import HeadName, Structure, check_choice
from modicum.classify.routed import Answers, check_images


class RANet(nn.Module):
    """A cascade of sub-networks from coarse to fine with exits in each; an image runs until an exit is sure of it.

    Images come as (B, 3, ``image_px``, ``image_px``). Before `fit_exits`, an image leaves at the first exit with a
    confidence of at least 1 - knob (`CommonThreshold`); after, the fitted rule decides.

    ``costs`` price a route as published, with every exit up to its own. That is an upper bound for `predict`, which
    leaves out exits where no image can leave; curves and calibration, which price routes alone, therefore promise no
    more than what is executed saves. ``costs.plain`` is what the last exit takes alone.

    Args:
        structure: What to build, or its fields as they are stored.
        num_classes: Classes K.
        image_px: Side of the images in pixels; the published ones are 32 and 224.
        head: "full" is the published exit; "lite" pools at once, which saves most parameters, and is not in the paper.
        exit_rule: What `fit_exits` fits: "geometric" is the published family of thresholds, "gain" weighs the expected
            gain in correctness against the cost.
        temperature: `fit_exits` also fits one temperature per exit; the published evaluation has none.
        average_exits: An answer is the mean of the probabilities of the exits so far, as logarithms, each after its
            temperature, not that of the last exit alone. Then every exit up to an image's own is computed.
        calibration_rows: Makes room for a fitted exit rule with so many rows, to be loaded; None: nothing is fitted.

    Raises:
        ValueError: If an argument has no meaning or the images are too small for the structure; the message says which.
    """

    storage_name = "ranet"

    def __init__(
        self,
        structure: Structure | Mapping[str, Any],
        *,
        num_classes: int,
        image_px: int = 32,
        head: HeadName = "full",
        exit_rule: RuleName = "geometric",
        temperature: bool = False,
        average_exits: bool = False,
        calibration_rows: int | None = None,
    ) -> None:
        super().__init__()
        structure = structure if isinstance(structure, Structure) else Structure(**structure)
        _check_arguments(structure, num_classes, image_px, head, exit_rule)
        self.structure, self.num_classes, self.image_px, self.head = structure, num_classes, image_px, head
        self.exit_rule, self.temperature, self.average_exits = exit_rule, temperature, average_exits
        self.stem, self.segments = Stem(structure), create_segments(structure, num_classes, head)
        for segment in self.segments:
            segment.apply(_initialise)  # the stem keeps torch's own, as in the authors' code
        self.pieces = count_pieces(structure, num_classes, image_px, head)
        whole = self._cumulative_macs([True] * structure.num_exits)
        self.costs = MenuCosts(
            route_names=tuple(f"exit {number}" for number in range(1, structure.num_exits + 1)),
            per_route=tuple(float(macs) for macs in whole),
            alone=float(sum(self.pieces.trunk) + self.pieces.heads[-1]),
        )
        self.temperatures = FrozenTable(torch.ones(structure.num_exits))
        self.policy: ExitRule = CommonThreshold(structure.num_exits)
        if calibration_rows is not None:
            self.policy = blank_exit_rule(exit_rule, calibration_rows, self._relative_costs())

    def every_exit(self, images: Tensor) -> Tensor:
        """Returns logits (B, E, K) of every exit, for training and for fitting the exits."""
        self.check_images(images)
        state, logits = State.start(self.stem(images)), []
        for segment in self.segments:  # of the coarsest sub-network, then of the next finer one, ...
            state = segment(state)
            logits.append(segment.head(state.x))
        return torch.stack(logits, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """As `every_exit`."""
        return self.every_exit(images)

    def answers(self, logits: Tensor) -> Tensor:
        """Returns what images leave with at every exit, (B, E, K), from the logits of all exits (B, E, K)."""
        return average_logs(logits, self.temperatures.values()) if self.average_exits else logits

    def confidence(self, answers: Tensor) -> Tensor:
        """Returns how sure `answers` are (B, E), float32 in [1/K, 1], after the temperatures if they were fitted."""
        return confidence_of(answers, self._answer_temperatures())

    def every_step(self, images: Tensor) -> Answers:
        """Returns what every exit answers to every image, in one pass."""
        answers = self.answers(self.every_exit(images))
        return Answers(self.confidence(answers), answers)

    def scores(self, images: Tensor) -> Tensor:
        """Returns the confidence (B, E) of every exit."""
        return self.every_step(images).sure

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of each image at its exit ``routes`` (B,).

        The exits before it are computed too, because a decision is made at each of them; the price of the route, in
        multiply-adds and in milliseconds, includes them. Nothing after its exit is computed.

        Raises:
            ValueError: If the routes are not one exit in [0, E) per image.
        """
        self.check_images(images)
        routes = self._checked_routes(routes, len(images))

        def leave(index: int, rows: Tensor, features: Tensor) -> Leaving:
            logits, mask = self._answer(index, features), routes[rows] == index
            return Leaving(mask, logits[mask.to(logits.device)])

        return run_through_exits(images, self._stages(), leave).outputs

    def predict(self, images: Tensor, knob: float) -> Routed:
        """Runs each image until the policy lets it leave; exits where none can at this knob are not computed.

        The multiply-adds reported are those executed: ``costs``, which prices closed exits as if they were computed, is
        an upper bound, met where none before an image's own exit is closed.
        """
        self.check_images(images)
        logits, routes = run_through_exits(images, self._stages(), self._leave_at(knob))
        return Routed(logits, routes, self.executed_macs(routes, knob))

    def advance(self, group: Group, knob: float) -> Stepped:
        """Runs images up to their next exit; the knob of an image must be the same at all of its exits."""
        if group.key == 0:
            self.check_images(group.state)
        rows, exits, survivors = pass_exit(group, self._stages(), self._leave_at(knob))
        finished = None if exits is None else Routed(*exits, self.executed_macs(exits.routes, knob))
        return Stepped(rows, finished, survivors)

    def executed_macs(self, routes: Tensor, knob: float) -> Tensor:
        """Multiply-adds (N,), float64, of `predict` at this knob for images that leave at ``routes`` (N,)."""
        return torch.tensor(self._cumulative_macs(self._open_exits(knob)), dtype=torch.float64)[routes.cpu()]

    def plain_network(self) -> nn.Module:
        """Returns a copy of the last exit alone, the baseline against which savings are measured."""
        return LastExit(copy.deepcopy(self.stem), copy.deepcopy(self.segments))

    def fit_exits(self, logits: Tensor, labels: Tensor) -> None:
        """Fits the exit rule, and the temperatures if the network has them, on calibration samples.

        What is fitted is saved with the weights. The geometric rule keeps at most 10,000 evenly spaced samples.

        Args:
            logits: What `every_exit` gave, (N, E, K), N at least 1; of samples neither trained nor tested on.
            labels: Shape (N,), int64.

        Raises:
            ValueError: If there are no samples, the shapes do not match, or a logit is not finite.
        """
        check_outcomes(logits, labels, self.structure.num_exits, self.num_classes)
        device = self.temperatures.bits.device
        logits, labels = logits.detach().cpu().float(), labels.cpu()
        temperatures = fit_temperatures(logits, labels) if self.temperature else torch.ones(logits.shape[1])
        self.temperatures = FrozenTable(temperatures)
        answers = self.answers(logits)
        confidence, correct = self.confidence(answers), answers.argmax(dim=2) == labels[:, None]
        self.temperatures.to(device)
        self.policy = fit_exit_rule(self.exit_rule, confidence, correct, self._relative_costs()).to(device)

    def storage_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with the size of what was fitted."""
        return {
            "structure": asdict(self.structure),
            "num_classes": self.num_classes,
            "image_px": self.image_px,
            "head": self.head,
            "exit_rule": self.exit_rule,
            "temperature": self.temperature,
            "average_exits": self.average_exits,
            "calibration_rows": self.policy.rows,
        }

    def _stages(self) -> list[Stage]:
        """Returns what runs from the images to the first exit, and from there to each other.

        A stage gives what `_answer` takes: the features at an exit, as its head is left out where nobody can leave.
        """
        stage = self._to_mean if self.average_exits else self._to_exit
        return [partial(stage, index) for index in range(len(self.segments))]

    def _to_exit(self, index: int, before: Any) -> tuple[Tensor, State]:  # noqa: ANN401  images, then states
        state = self.segments[index](before if index else State.start(self.stem(before)))
        return state.x, state

    def _to_mean(self, index: int, before: Any) -> tuple[Tensor, tuple[State, Tensor]]:  # noqa: ANN401  as above
        """Returns log-probabilities (n, K), and what images carry on: beside the state, the sum of probabilities."""
        features, state = self._to_exit(index, before[0] if index else before)
        temperature = self.temperatures.values()[index]
        total = (self.segments[index].head(features).float() / temperature).softmax(dim=1)
        if index:
            total = total + before[1]
        return log_mean(total, index + 1), (state, total)

    def _answer(self, index: int, features: Tensor) -> Tensor:
        """Returns logits (n, K) from what a stage gave."""
        return features if self.average_exits else self.segments[index].head(features)

    def _answer_temperatures(self) -> Tensor:
        """Returns by what answers have yet to be divided, (E,): means have been already, exit by exit."""
        temperatures = self.temperatures.values()
        return torch.ones_like(temperatures) if self.average_exits else temperatures

    def _open_exits(self, knob: float) -> tuple[bool, ...]:
        """Tells which exits are computed: those where images can leave, or all where answers are means over them."""
        return (True,) * len(self.segments) if self.average_exits else self.policy.open_exits(check_knob(knob))

    def _leave_at(self, knob: float) -> Leave:
        """Returns who leaves at this knob, with which logits (m, K); exits where none can leave are not computed."""
        open_exits, temperatures = self._open_exits(check_knob(knob)), self._answer_temperatures()

        def leave(index: int, rows: Tensor, features: Tensor) -> Leaving:
            if len(rows) and not open_exits[index]:
                return Leaving(torch.zeros(len(rows), dtype=torch.bool), None)
            logits = self._answer(index, features)
            mask = self.policy.leaves(index, confidence_of(logits, temperatures[index]), knob)
            return Leaving(mask, logits[mask.to(logits.device)])

        return leave

    def _cumulative_macs(self, open_exits: Sequence[bool]) -> tuple[int, ...]:
        """Multiply-adds from the image to each exit, where only some exits are computed."""
        heads = (macs * is_open for macs, is_open in zip(self.pieces.heads, open_exits, strict=True))
        return tuple(accumulate(map(add, self.pieces.trunk, heads)))

    def _relative_costs(self) -> Tensor:
        costs = torch.tensor(self.costs.per_route, dtype=torch.float64)
        return costs / costs[-1]

    def check_images(self, images: Tensor) -> None:
        """Raises a `ValueError` that names the shape if ``images`` are not (B, 3, image_px, image_px)."""
        check_images(images, self.image_px)

    def _checked_routes(self, routes: Tensor, num_images: int) -> Tensor:
        routes, num_exits = routes.cpu(), self.structure.num_exits
        if routes.shape != (num_images,):
            raise ValueError(f"routes must be ({num_images},), one exit per image, got {tuple(routes.shape)}")
        if num_images and not 0 <= int(routes.min()) <= int(routes.max()) < num_exits:
            raise ValueError(f"routes must lie in [0, {num_exits}), got {sorted(set(routes.tolist()))}")
        return routes


def _initialise(module: nn.Module) -> None:
    """Draws as published: normal with variance 2 / (k^2 outputs) for convolutions, no bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _check_arguments(structure: Structure, num_classes: int, image_px: int, head: str, exit_rule: str) -> None:
    check_choice("head", head, get_args(HeadName))
    check_choice("exit_rule", exit_rule, get_args(RuleName))
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if image_px < 2 * structure.total_stride:
        raise ValueError(
            f"image_px must be at least {2 * structure.total_stride}, for coarsest maps of 2 positions a side, "
            f"got {image_px}"
        )
