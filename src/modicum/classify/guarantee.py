"""Certifies, for any adaptive classifier, how often its answers may be worse than, or differ from, the full network's.

The test is that of `modicum.adaptive.guarantee`. It needs a sequence of knobs that the tested images did not shape:

- on the calibration part, knobs are spread over the scores of training images. Confidences on those are too high, which
  only makes the steps uneven;
- on a folder of pictures without classes, every tenth picture, drawn at random, spreads the knobs and is not tested.

Nor may anything else of the network depend on the tested images. Where training fitted something on the calibration
part (`modicum.contract.System.refit`), one half of that part fits it anew and the other is tested; where training chose
the best of several networks by it (`num_choices`), each of these is tested at an equal part of the level.
"""

# N images, R routes, U units (blocks), K classes
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from modicum.adaptive.calibration import Calibration, hash_ids
from modicum.adaptive.contract import device_of
from modicum.adaptive.curve import knob_sequence
from modicum.adaptive.evidence import Scored, score, scored_of
from modicum.adaptive.guarantee import Guarantee, Passed, Terms, find_last_passing
from modicum.classify.evidence import AdaptiveClassifier, Judged
from modicum.classify.preparation import EVALUATION_BATCH, PreparedData
from modicum.classify.results import LossOnTest
from modicum.classify.routed import AnswersEveryStep
from modicum.datasets.loaders import derive_seed
from modicum.datasets.sources import Part
from modicum.storage.errors import DataError

ReferenceName = Literal["plain", "whole"]
LossName = Literal["worse", "different"]

REFERENCES: Mapping[ReferenceName, str] = {"plain": "the plain network", "whole": "the most expensive route"}
MOST_SPREAD = 1000  # images whose scores spread the knobs: their quantiles then vary by some 3 % of the range
SHARE_SPREAD = 0.1  # of unlabelled pictures


@dataclass(frozen=True)
class Images:
    """Images that can be run in any selection.

    Attributes:
        ids: Their names.
        batches_of: From places among the ids to batches (n, 3, S, S) of these images, in that order, on the model's
            device.
        labels: Their classes, (N,) int64; None where they are unknown.
        source: The folder that holds them; None for the run's own data.
    """

    ids: tuple[str, ...]
    batches_of: Callable[[list[int]], Iterable[Tensor]]
    labels: Tensor | None = None
    source: str | None = None

    def take(self, rows: Sequence[int]) -> "Images":
        """Returns the images at some places."""
        kept = list(rows)
        return Images(
            tuple(self.ids[row] for row in kept),
            lambda places: self.batches_of([kept[place] for place in places]),
            None if self.labels is None else self.labels[kept],
            self.source,
        )

    def scored(self, model: AdaptiveClassifier) -> Scored:
        """Scores every image."""
        return score(model, ((images, None) for images in self.batches()), self.ids)

    @torch.inference_mode()
    def classes_by(self, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns the most probable class (N,) of every image, on the CPU."""
        return torch.cat([network(images).argmax(dim=1).cpu() for images in self.batches()])

    def batches(self) -> Iterable[Tensor]:
        """Returns batches of all images, in order."""
        return self.batches_of(list(range(len(self.ids))))


def images_of(data: PreparedData, part: Part, device: torch.device, *, most: int | None = None) -> Images:
    """Returns a part of a run's data; with ``most``, at most so many of it, evenly spread."""
    indices = data.splits.indices(data.source, part)
    if most is not None and len(indices) > most:
        indices = [indices[place * len(indices) // most] for place in range(most)]
    records = [data.source.records[index] for index in indices]

    def batches_of(places: list[int]) -> Iterator[Tensor]:
        return (images for images, _ in data.evaluate_indices([indices[place] for place in places], device))

    labels = torch.tensor([record.label for record in records])
    return Images(tuple(record.id for record in records), batches_of, labels)


ClassesOn = Callable[[Tensor], Tensor]
"""From the routes (N,) or (N, U) of images to the most probable class (N,) of each, on the CPU."""


@torch.inference_mode()
def score_and_classify(model: AdaptiveClassifier, images: Images) -> tuple[Tensor, ClassesOn]:
    """Returns the scores (N, S) of images, and their classes on any routes: looked up where one pass gives them all."""
    if not isinstance(model, AnswersEveryStep):
        return images.scored(model).scores, RoutedClasses(model, images)
    passed = [model.every_step(batch) for batch in images.batches()]
    scored = scored_of(images.ids, [every.sure.float().cpu() for every in passed])
    classes = torch.cat([every.logits.argmax(dim=2).cpu() for every in passed])
    return scored.scores, lambda routes: classes.gather(1, routes[:, None])[:, 0]


class RoutedClasses:
    """Finds the most probable class of images on their routes, running only those whose route differs from last time.

    Knobs of a sequence change few routes at a time, so a whole sequence costs about as much as one run of each route.

    Args:
        model: The network.
        images: N of them.
    """

    def __init__(self, model: AdaptiveClassifier, images: Images) -> None:
        self._model, self._images = model, images
        self._routes: Tensor | None = None
        self._classes = torch.zeros(len(images.ids), dtype=torch.int64)

    @torch.inference_mode()
    def __call__(self, routes: Tensor) -> Tensor:
        """Returns the classes (N,), on the CPU, for routes (N,) or (N, U)."""
        known = self._routes
        changed = [True] * len(routes) if known is None else (routes != known).reshape(len(routes), -1).any(1).tolist()
        rows = torch.tensor([row for row, is_new in enumerate(changed) if is_new], dtype=torch.int64)
        start = 0
        for images in self._images.batches_of(rows.tolist()) if len(rows) else ():
            now = rows[start : start + len(images)]
            self._classes[now] = self._model.run(images, routes[now]).argmax(dim=1).cpu()
            start += len(images)
        self._routes = routes.clone()
        return self._classes.clone()


def reference_classes(model: AdaptiveClassifier, images: Images, reference: ReferenceName, routed: ClassesOn) -> Tensor:
    """Returns the classes (N,) that answers are compared with.

    Args:
        model: The network.
        images: N of them.
        reference: "plain" is the network with everything computed and nothing decided; "whole" the most expensive
            route, which differs from it where answers of several members are averaged. Where routes cannot be listed,
            both are the same.
        routed: The classes of these images on any routes.
    """
    menu = model.costs.menu()
    if reference == "whole" and menu is not None:
        return routed(menu[:1].expand(len(images.ids)))
    plain: nn.Module = model.plain_network().eval()
    return images.classes_by(plain)


def losses_of(found: Tensor, expected: Tensor, labels: Tensor | None) -> Tensor:
    """Returns which images (N,), bool, have a loss.

    With labels, ``"worse"``: the reference's class is right, and the one found is wrong. Without, ``"different"``: the
    two differ.
    """
    if labels is None:
        return found != expected
    return (expected == labels) & (found != labels)


def certify(
    model: AdaptiveClassifier,
    images: Images,
    knobs: Sequence[float],
    terms: Terms,
    *,
    reference: ReferenceName,
    data_hash: str,
) -> Calibration:
    """Returns the calibration at the cheapest knob that keeps the terms on some images.

    Args:
        model: The network.
        images: Images to test; neither the network nor the knobs may depend on them.
        knobs: The sequence, most expensive first.
        terms: Limit of the loss, and confidence.
        reference: Network that answers are compared with; see `reference_classes`.
        data_hash: For the record, see `Calibration`.

    Raises:
        GuaranteeError: If no knob keeps the terms.
    """
    scores, routed = score_and_classify(model, images)
    expected = reference_classes(model, images, reference, routed)

    def losses(knob: float) -> Tensor:
        return losses_of(routed(model.policy.decide(scores, knob)), expected, images.labels)

    noun = "calibration images" if images.source is None else "pictures"
    passed = find_last_passing(knobs, losses, terms, noun=noun)
    routes = model.policy.decide(scores, passed.knob)
    worth = None if images.labels is None else float((routed(routes) == images.labels).double().mean())
    return Calibration(
        target=None,
        unit=model.costs.unit,
        knob=passed.knob,
        achieved=float(model.costs.of(routes).mean()),
        plain=model.costs.plain,
        worth=worth,
        num_samples=passed.num_samples,
        data_hash=data_hash,
        routes=dict(Counter(model.costs.names(routes))),
        guarantee=_guarantee(passed, terms, images, reference),
    )


def loss_on_test(
    model: AdaptiveClassifier, data: PreparedData, calibration: Calibration, test: Judged
) -> LossOnTest | None:
    """Counts, on the judged test part, the losses that a calibration limits; None where it guarantees nothing."""
    guarantee = calibration.guarantee
    if guarantee is None:
        return None
    images = images_of(data, "test", device_of(model))
    routes = model.policy.decide(test.scored.scores, calibration.knob)
    routed = RoutedClasses(model, images) if test.answers is None else test.answers.classes
    expected = reference_classes(model, images, "whole" if guarantee.reference == "whole" else "plain", routed)
    labels = None if guarantee.loss == "different" else images.labels
    lost = losses_of(routed(routes), expected, labels)
    return LossOnTest(int(lost.sum()), len(lost))


def certify_on_calibration_part(
    model: AdaptiveClassifier,
    data: PreparedData,
    terms: Terms,
    *,
    reference: ReferenceName,
    refit: Callable[..., None] | None,
) -> Calibration:
    """Certifies on the calibration part of a run's data, by its labels.

    Args:
        model: The network; with ``refit``, what that fits is changed.
        data: The run's data.
        terms: Limit of the loss, and confidence.
        reference: Network that answers are compared with.
        refit: Fits anew what training fitted on the calibration part, on the half that is not tested.

    Raises:
        GuaranteeError: If no knob keeps the terms.
    """
    device = device_of(model)
    images = images_of(data, "calibration", device)
    if refit is not None:
        indices = data.splits.indices(data.source, "calibration")
        fitted, tested = halves(len(indices), data.seed)
        refit(model, data.evaluate_indices([indices[row] for row in fitted], device))
        images = images.take(tested)
    spread = images_of(data, "train", device, most=MOST_SPREAD).scored(model)
    knobs = knob_sequence(spread.scores, model.policy, model.costs)
    digest = hash_ids(data.splits.calibration)
    return certify(model, images, knobs, terms, reference=reference, data_hash=digest)


def certify_on_pictures(
    model: AdaptiveClassifier, pictures: Images, terms: Terms, *, reference: ReferenceName, seed: int
) -> Calibration:
    """Certifies on pictures without classes, of which every tenth spreads the knobs; arguments as of `certify`.

    Raises:
        DataError: If there are fewer than two.
        GuaranteeError: If no knob keeps the terms.
    """
    count = len(pictures.ids)
    if count < 2:
        raise DataError(f"{pictures.source} holds {count} picture(s) that can be used: give at least two")
    num_spread = min(MOST_SPREAD, max(1, round(SHARE_SPREAD * count)))
    order = _shuffled(count, seed)
    spread, tested = sorted(order[:num_spread]), sorted(order[num_spread:])
    knobs = knob_sequence(pictures.take(spread).scored(model).scores, model.policy, model.costs)
    kept = pictures.take(tested)
    return certify(model, kept, knobs, terms, reference=reference, data_hash=hash_ids(kept.ids))


def halves(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Divides places at random into those that are fitted on anew and those that are tested, which may be one more."""
    order = _shuffled(count, seed)
    return sorted(order[: count // 2]), sorted(order[count // 2 :])


def batch_places(places: list[int]) -> Iterator[list[int]]:
    """Yields places in batches of the size of an evaluation."""
    return (places[start : start + EVALUATION_BATCH] for start in range(0, len(places), EVALUATION_BATCH))


def _shuffled(count: int, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(derive_seed(seed, "guarantee")).permutation(count).tolist()
    return order


def _guarantee(passed: Passed, terms: Terms, images: Images, reference: ReferenceName) -> Guarantee:
    loss: LossName = "different" if images.labels is None else "worse"
    return Guarantee(
        max_loss=terms.max_loss,
        confidence=terms.confidence,
        loss=loss,
        reference=reference,
        num_losses=passed.num_losses,
        num_samples=passed.num_samples,
        bound=passed.bound,
        statement=state(passed, terms, loss, reference, images.source),
        source=images.source,
        num_choices=terms.num_choices,
    )


def state(passed: Passed, terms: Terms, loss: LossName, reference: ReferenceName, source: str | None) -> str:
    """Returns a guarantee as one sentence."""
    against, limit, count = REFERENCES[reference], f"{100 * terms.max_loss:.4g}", f"{passed.num_samples:,}"
    if loss == "worse":
        promise = (
            f"are classified correctly by {against} but wrongly by the routed network, whose accuracy is therefore "
        )
        promise += f"at most {limit} points lower"
    else:
        promise = f"are classified differently by the routed network and by {against}"
    tested = "calibration images" if source is None else f"pictures of {source}"
    return (
        f"With {100 * terms.confidence:.6g} % confidence, at most {limit} % of images drawn like the {count} {tested} "
        f"{promise}; it happened to {passed.num_losses:,} of these {count} (upper bound {100 * passed.bound:.3g} %)."
    )
