"""Chooses the steps and thresholds of a DRNet that decides by confidence, on images that it was not trained on.

Apart from the training, because a guarantee chooses them anew on fewer images.
"""

# N images, C candidates (all resolutions, cheapest first), K classes
import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from modicum.adaptive.cascades import fit_thresholds, refine
from modicum.adaptive.evidence import Batches
from modicum.classify.confidence import check_outcomes
from modicum.classify.drnet.exiting import ExitingDRNet, StepPlan
from modicum.classify.rival_cascade import Known, fit_cascade

log = logging.getLogger(__name__)


def fit_steps(network: ExitingDRNet, batches: Batches) -> None:
    """Fits steps, temperatures and thresholds on images and labels; all of the answers are held in memory.

    Two or three resolutions become steps: those whose cascade is most accurate around the network's budget.

    Args:
        network: In evaluation mode; takes what is fitted.
        batches: Images (n, 3, S, S) on its device, and labels (n,).

    Raises:
        ValueError: If there are no images, or a logit is not finite.
    """
    known = ask_every_resolution(network, batches).thinned()

    def price(members: Sequence[int]) -> Tensor:
        return network.price(_places(network, members))

    cascade = fit_cascade(known, price, network.budget * network.macs[0])
    (sure, hits), costs = cascade.judge(known), price(cascade.members)
    thresholds = refine(fit_thresholds(sure, hits, costs), sure, hits, costs).thresholds
    temperatures = cascade.temperatures[list(cascade.members)]
    network.take_plan(StepPlan(_places(network, cascade.members), cascade.average, temperatures, thresholds))
    answers = "the mean of the steps so far" if cascade.average else "the last step's own"
    log.info("steps for %g of the cost: %s; answers: %s", network.budget, ", ".join(network.costs.route_names), answers)


@torch.no_grad()
def ask_every_resolution(network: ExitingDRNet, batches: Batches) -> Known:
    """Returns what each resolution by itself says of images, the cheapest first; arguments as of `fit_steps`.

    Raises:
        ValueError: If there are no images, or a logit is not finite.
    """
    rows = [(network.every_resolution(images).float().cpu(), labels.cpu()) for images, labels in batches]
    num_resolutions = len(network.resolutions)
    if not rows:
        rows = [(torch.empty(0, num_resolutions, network.num_classes), torch.empty(0, dtype=torch.int64))]
    logits, labels = (torch.cat(column) for column in zip(*rows, strict=True))
    check_outcomes(logits, labels, num_resolutions, network.num_classes)
    logits = logits.flip(1)
    return Known(logits.log_softmax(dim=2), logits.argmax(dim=2) == labels[:, None], labels)


def _places(network: ExitingDRNet, members: Sequence[int]) -> tuple[int, ...]:
    """Returns the places among the resolutions, which fall, of candidates, whose costs rise."""
    return tuple(len(network.resolutions) - 1 - member for member in members)
