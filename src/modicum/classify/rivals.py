"""Compares a classifier with simpler ones: its static members, mixes of two of them, and their confidence cascade.

All three are read off at the mean cost of the calibrated network. Static networks and mixes are the best on the test
images, which favours them; the cascade comes from the calibration part, see `modicum.classify.rival_cascade`.
"""

# N images, C fixed routes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from modicum.adaptive.costs import CostTable
from modicum.adaptive.curve import Curve, Point, fixed_point
from modicum.adaptive.rivals import Offer, between, mix_at, paired_gain, static_at, undominated
from modicum.adaptive.worth import MeanWorth
from modicum.classify.evidence import Baseline
from modicum.classify.fixed_routes import FixedRoutes
from modicum.classify.rival_cascade import Known, cascade_settings, fit_cascade
from modicum.classify.standings import Kind, Standing, Standings

NUM_POINTS = 13  # of the cascade's curve


@dataclass(frozen=True)
class Contest:
    """Parts of the simple rivals of a network.

    Attributes:
        macs: Multiply-adds of routes.
        fixed: Routes that can serve all images; None for none.
        known: Their answers to the calibration images; None where no cascade is made of them.
        seen: Their answers to the test images; None without fixed routes.
        baselines: Networks without a decision, on the test images.
        unpaired: Names of baselines whose hits are not those of the single images.
    """

    macs: CostTable[Any]
    fixed: FixedRoutes | None
    known: Known | None
    seen: Known | None
    baselines: tuple[Baseline, ...]
    unpaired: tuple[str, ...] = ()

    def stand(
        self, curve: Curve, costs: CostTable[Any], cost: float, hits: Tensor, times: Mapping[str, float] | None = None
    ) -> tuple[Curve, Standings]:
        """Draws the rivals beside a curve, and compares the calibrated network with them at its mean cost.

        Args:
            curve: Of the network, in the unit of ``costs``.
            costs: Prices of routes.
            cost: Mean cost of the calibrated network.
            hits: Shape (N,): whether it is right on each test image.
            times: In milliseconds, those of baselines by name that run what no route runs.
        """
        static, untimed = self._static(costs, times or {})
        settings = self._cascade(costs, cost)
        alone, mix = static_at(static, cost), mix_at(static, cost)
        found: dict[Kind, Offer | None] = {"static": alone, "mix": mix, "cascade": between(settings, cost)}
        if alone is not None and mix is not None and mix.name == alone.name:
            del found["mix"]
        rivals = tuple(_stand(kind, offer, hits) for kind, offer in found.items() if offer is not None)
        standings = Standings(costs.unit, cost, rivals, untimed, self.unpaired)
        points = tuple(_point(offer._replace(name=f"always {offer.name}")) for offer in self._fixed(costs)[::-1])
        drawn = tuple(_point(offer) for offer in _spread(settings))
        return replace(curve, static=curve.static or points, cascade=drawn), standings

    def without_route(self) -> tuple[str, ...]:
        """Names the baselines on the frontier of multiply-adds that run what no route runs, to be timed themselves."""
        timed = set(self._route_costs())
        return tuple(
            point.name for point in undominated([each.point for each in self.baselines]) if point.cost not in timed
        )

    def _fixed(self, costs: CostTable[Any]) -> list[Offer]:
        if self.fixed is None or self.seen is None:
            return []
        names, prices = costs.names(self.fixed.routes), self.fixed.costs(costs).tolist()
        return [Offer(*each) for each in zip(names, prices, self.seen.hits.double().unbind(dim=1), strict=True)]

    def _static(self, costs: CostTable[Any], times: Mapping[str, float]) -> tuple[list[Offer], tuple[str, ...]]:
        """Returns all static networks with their costs in this unit, and the names of those that have none."""
        offers, untimed = self._fixed(costs), []
        in_this_unit = dict(zip(self._route_costs(), self._route_costs(costs), strict=True))
        for point, hits in self.baselines:
            cost = point.cost if costs.unit == "MAC" else times.get(point.name, in_this_unit.get(point.cost))
            if cost is None:
                untimed.append(point.name)
            else:
                offers.append(Offer(point.name.removeprefix("always "), cost, hits.double()))
        return offers, tuple(untimed)

    def _route_costs(self, costs: CostTable[Any] | None = None) -> list[float]:
        """Returns the costs of the fixed routes, and of the plain network, in one order in every unit."""
        table = costs or self.macs
        routes = [] if self.fixed is None else self.fixed.costs(table).tolist()
        return [*routes, *([] if table.plain is None else [table.plain])]

    def _cascade(self, costs: CostTable[Any], budget: float) -> list[Offer]:
        """Returns the settings of the cascade that is best around a budget, on the test images; none without one."""
        if self.fixed is None or self.known is None or self.seen is None or self.known.logs.shape[1] < 2:
            return []
        fixed = self.fixed
        cascade = fit_cascade(self.known, lambda members: fixed.cascade_costs(costs, members), budget)
        names = costs.names(fixed.routes[list(cascade.members)])
        prices = fixed.cascade_costs(costs, cascade.members)
        return cascade_settings(cascade, self.seen, prices, f"cascade of {', '.join(names)}")


def scatter_hits(point: Point, num_images: int) -> Tensor:
    """Returns hits (N,), bool, of a network of which only the accuracy is known: as many, on images drawn at random.

    A gain over it is as without them; its interval is that of independent sets of images, so wider than a paired one.
    """
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(0))
    return order < round(point.worth * num_images)


def _stand(kind: Kind, offer: Offer, hits: Tensor) -> Standing:
    name = f"mix of {offer.name}" if kind == "mix" else offer.name
    return Standing(kind, name, offer.cost, offer.worth, *paired_gain(hits, offer.each))


def _point(offer: Offer) -> Point:
    return fixed_point(offer.name, MeanWorth(offer.each), offer.cost)


def _spread(settings: Sequence[Offer]) -> list[Offer]:
    """Returns settings at about even steps of cost, at most `NUM_POINTS`, at falling cost."""
    if not settings:
        return []
    costs = torch.tensor([offer.cost for offer in settings], dtype=torch.float64)
    wanted = torch.linspace(float(costs[0]), float(costs[-1]), NUM_POINTS, dtype=torch.float64)
    places = {int(place) for place in (costs[None] - wanted[:, None]).abs().argmin(dim=1)}
    return [settings[place] for place in sorted(places, reverse=True)]
