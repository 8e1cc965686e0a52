"""Measures beside average precision: how good R-net's gains are, the clock, and a Q-net's returns."""

from collections.abc import Callable
from functools import partial
from statistics import fmean, median
from time import perf_counter

import numpy as np
import torch

from modicum.detect.zoom.learning import true_return
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.matching import gain_recall
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.planners import DensityPlanner
from modicum.detect.zoom.results import Clock, GainQuality, Returns
from modicum.detect.zoom.rnet import RNet
from modicum.detect.zoom.rnet_training import assess_rnet, gain_pairs
from modicum.detect.zoom.viewing import SeenPictures
from modicum.measuring.timing import time_in_turn

NUM_TIMED = 6  # pictures
RETURN_PRICES = (1.0, 4.0, 16.0)


def assess_gains(seen: SeenPictures, network: ZoomNetwork) -> GainQuality | None:
    """Compares R-net's gains with true ones; None for the dense form, or where no detection counts."""
    rnet = network.rnet
    if not isinstance(rnet, RNet):
        return None
    found = [look.coarse for look in seen.looks]
    matches = [seen.matches(place) for place in range(len(seen))]
    if not any(each.counts.any() for each in matches):
        return None
    fit = assess_rnet(rnet, gain_pairs(found, matches, seen.sizes))
    reach = gain_recall(matches)
    return GainQuality(fit.r2, fit.correlation, fit.rank_correlation, fit.entropy_rank_correlation, reach)


def time_pictures(seen: SeenPictures, price: float) -> Clock:
    """Times some test pictures, evenly spread, one at a time: zooming and the fine detector in turn."""
    places = np.unique(np.linspace(0, len(seen) - 1, min(NUM_TIMED, len(seen))).round().astype(int)).tolist()
    zoom, limit, rows = seen.zoom, ZoomLimit(price=price), []
    for place in places:
        begin = perf_counter()
        image = seen.data.image(seen.indices[place])
        decoding = (perf_counter() - begin) * 1e3
        runs: dict[str, Callable[[], object]] = {
            "fine": partial(zoom.fine.detect, [image]),
            "zoom": partial(zoom.detect, [image], limit),
        }
        seconds = time_in_turn(runs, rounds=3)
        times = zoom.detect([image], limit)[0].times
        rows.append((decoding, seconds["fine"] * 1e3, seconds["zoom"] * 1e3, *times))
    return Clock(len(places), torch.get_num_threads(), *(median(column) for column in zip(*rows, strict=True)))


def compare_returns(seen: SeenPictures) -> tuple[Returns, ...]:
    """Compares the true return of a Q-net's windows with that of the greedy policy, each at some prices."""
    learned, greedy = seen.zoom.planner, DensityPlanner(seen.zoom.planner.layout, with_whole=False)
    rows = []
    for price in RETURN_PRICES:
        both: list[tuple[float, float]] = []
        for place, look in enumerate(seen.looks):
            truth = seen.true_gains(place)
            windows = [
                planner.windows(look.gains, ZoomLimit(price=price), look.pixels) for planner in (learned, greedy)
            ]
            both.append((true_return(truth, windows[0], price), true_return(truth, windows[1], price)))
        rows.append(Returns(price, fmean(own for own, _ in both), fmean(other for _, other in both)))
    return tuple(rows)
