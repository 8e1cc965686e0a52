"""Whether zooming pays where it should: policies on simulated layouts of pedestrians, without a picture or a detector.

python benchmarks/zoom_layouts.py --images 233 --updates 800

Scenes of 2048 x 1024 pixels hold people in groups, drawn at random: real layouts come with data sets that ask for a
registration. A simulated detector is the surer the larger a person is to it, and raises false alarms. Its scores are
made up, so only the order of the policies means anything. The table follows the one that our figures are compared
with: share of the fine detector's average precision at an overlap of 0.5, pixels with the coarse pass, windows.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modicum.adaptive.costs import CostTable
from modicum.detect.average_precision import AveragePrecision, MatchedImage, match_image
from modicum.detect.boxes import Detections, Objects
from modicum.detect.overlaps import Found, Numbers, suppress
from modicum.detect.zoom.baselines import plan_fixed, plan_random
from modicum.detect.zoom.costs import pixel_costs
from modicum.detect.zoom.gains import BoxGains, untrained_gains
from modicum.detect.zoom.learning import QLearning, ZoomCase, mean_return, train_qnet
from modicum.detect.zoom.matching import Matches, match_detections
from modicum.detect.zoom.merging import merge
from modicum.detect.zoom.planning import Plan, plan_by_density, plan_by_value
from modicum.detect.zoom.policies import PrefixPolicy, plan_scores, to_route
from modicum.detect.zoom.qnet import ConvQnet, ResidualQnet, values_of
from modicum.detect.zoom.rnet import RNet, predict_gains
from modicum.detect.zoom.rnet_training import GainFit, GainPairs, RNetTraining, assess_rnet, gain_pairs, train_rnet
from modicum.detect.zoom.windows import Grid, enumerate_windows

WIDTH, HEIGHT, COARSE = 2048, 1024, 0.25
LEAST_SCORE = 0.02  # of proposals; the coarse pass barely sees most of what zooming is for
FALSE_ALARMS = 12  # per scene
GRID = Grid.of(WIDTH, HEIGHT, columns=32)  # a stride of 64 pixels
LATTICES = enumerate_windows(GRID, [(0.5, 0.5), (0.25, 0.25)])


@dataclass(frozen=True, eq=False)
class Scene:
    """People and false alarms in one image, and how sure a detector is of each at either scale.

    Attributes:
        boxes: Shape (N, 4): people first.
        num_people: How many of them are people.
        coarse: Shape (N,): scores in the coarse pass.
        fine: Shape (N,): scores at full resolution.
    """

    boxes: Numbers
    num_people: int
    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]

    def objects(self) -> Objects:
        """Returns the people."""
        boxes = torch.from_numpy(self.boxes[: self.num_people]).float()
        return Objects(boxes, torch.zeros(len(boxes), dtype=torch.int64), torch.zeros(len(boxes), dtype=torch.bool))

    def seen(self, scores: NDArray[np.float32], window: Numbers = GRID.whole) -> Found:
        """Returns what a detector with these ``scores`` finds in a window: boxes are cut to it if half is inside."""
        cut = np.clip(self.boxes, np.tile(window[:2], 2), np.tile(window[2:], 2))
        part = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)
        kept = (part >= 0.5) & (scores >= LEAST_SCORE)
        return suppress(Found(cut[kept], scores[kept], np.zeros(int(kept.sum()), dtype=np.int64)))


def draw_scene(random: np.random.Generator) -> Scene:
    """Draws a scene: one to three groups of people at a horizon, some people apart, and false alarms."""
    horizon, centres, heights = random.uniform(350, 650), list[float](), list[float]()
    for _ in range(random.integers(1, 4)):
        middle, size = random.uniform(100, WIDTH - 100), float(np.exp(random.normal(np.log(48), 0.55)))
        count = random.poisson(2.5)
        centres += random.normal(middle, 2.5 * size, count).tolist()
        heights += (size * np.exp(random.normal(0, 0.15, count))).tolist()
    apart = random.poisson(0.7)
    centres += random.uniform(0, WIDTH, apart).tolist()
    heights += np.exp(random.normal(np.log(60), 0.6, apart)).tolist()
    people = _stand(np.array(centres), np.array(heights), horizon)
    tall = np.exp(random.normal(np.log(70), 0.6, FALSE_ALARMS))
    alarms = _stand(
        random.uniform(0, WIDTH, FALSE_ALARMS), np.clip(tall, 16, 500), random.uniform(200, 800, FALSE_ALARMS)
    )
    boxes = np.concatenate([people, alarms])
    coarse, fine = _simulate_scores(random, boxes[:, 3] - boxes[:, 1], len(people))
    return Scene(boxes, len(people), coarse, fine)


def _stand(centres: Numbers, heights: Numbers, feet: Numbers | float) -> Numbers:
    """Returns boxes of people of these heights, 0.41 as wide, in the image."""
    heights = np.clip(heights, 16, 500)
    centres = np.clip(centres, 0.205 * heights, WIDTH - 0.205 * heights)
    left, top = centres - 0.205 * heights, feet + 0.5 * heights - heights
    boxes = np.stack([left, top, left + 0.41 * heights, top + heights], axis=1)
    return np.clip(boxes, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])


def _simulate_scores(
    random: np.random.Generator, heights: Numbers, num_people: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns scores in the coarse pass and at full resolution; noise is shared, so that hard people are hard twice."""
    is_person, shared = np.arange(len(heights)) < num_people, random.normal(0, 0.8, len(heights))
    scores = []
    for scale, doubt in ((COARSE, 0.8), (1.0, 3.0)):
        seen = 1.6 * np.log2(heights * scale / 26) + 1.5
        logits = np.where(is_person, seen, -doubt) + shared + random.normal(0, 0.5, len(heights))
        scores.append((1 / (1 + np.exp(-logits))).astype(np.float32))
    return scores[0], scores[1]


@dataclass(frozen=True, eq=False)
class Views:
    """What both detectors find in a scene, and what looking closer gains."""

    scene: Scene
    coarse: Detections
    matches: Matches

    @classmethod
    def of(cls, scene: Scene) -> "Views":
        """Looks at a scene at both scales."""
        coarse, fine = (Detections.of(scene.seen(scores)) for scores in (scene.coarse, scene.fine))
        return cls(scene, coarse, match_detections(coarse, fine, scene.objects()))

    def gains(self, of_boxes: Numbers) -> BoxGains:
        """Returns gains of the coarse detections."""
        return BoxGains.of(self.matches.boxes, of_boxes, GRID)

    def truth(self) -> BoxGains:
        """Returns what the best plan could know."""
        return BoxGains.of(*self.matches.true_gains(), GRID)

    def judge(self, route: Tensor) -> MatchedImage:
        """Looks closer where the route says so, and matches what is found then with the people."""
        windows = route[1:].double().numpy()
        fine = [self.scene.seen(self.scene.fine, window) for window in windows]
        found = merge(self.scene.seen(self.scene.coarse), windows, fine, WIDTH, HEIGHT)
        return match_image(Detections.of(found), self.scene.objects(), [0.5])


def views_of(seed: int, count: int) -> list[Views]:
    """Draws scenes."""
    random = np.random.default_rng(seed)
    return [Views.of(draw_scene(random)) for _ in range(count)]


class Row(NamedTuple):
    """A line of the table."""

    name: str
    precision: float  # at an overlap of 0.5
    pixels: float  # share of the image's, the coarse pass included
    windows: float  # per image


COSTS: CostTable[list[Tensor]] = pixel_costs(COARSE, [(WIDTH, HEIGHT)])


def measure(name: str, views: Sequence[Views], routes: Sequence[Tensor]) -> Row:
    """Looks at every scene on its route."""
    worth = AveragePrecision(tuple(view.judge(route) for view, route in zip(views, routes, strict=True)))
    pixels = float(COSTS.of(list(routes)).mean()) / GRID.pixels
    return Row(name, worth.total(), pixels, float(np.mean([len(route) - 1 for route in routes])))


def measure_plans(name: str, views: Sequence[Views], plans: Sequence[Plan], price: float) -> Row:
    """Looks at every scene at a price of its plan."""
    return measure(name, views, PrefixPolicy().decide(plan_scores(plans), price))


def fine_precision(views: Sequence[Views]) -> float:
    """Returns the average precision of the fine detector on whole images."""
    found = [Detections.of(view.scene.seen(view.scene.fine)) for view in views]
    pairs = zip(found, views, strict=True)
    return AveragePrecision(tuple(match_image(own, view.scene.objects(), [0.5]) for own, view in pairs)).total()


def greedy_plans(views: Sequence[Views], gains: Callable[[Views], BoxGains]) -> list[Plan]:
    """Plans by density; the whole image is no choice, so that rows compare windows."""
    return [plan_by_density(gains(view), LATTICES, with_whole=False) for view in views]


def train_on(views: Sequence[Views], seed: int = 0) -> RNet:
    """Fits an R-net to scores and geometry of scenes."""
    torch.manual_seed(seed)
    rnet = RNet(num_classes=1, hidden=64)
    train_rnet(rnet, pairs_of(views), RNetTraining(seed=seed))
    return rnet


def assess_on(rnet: RNet, views: Sequence[Views]) -> GainFit:
    """Tells how well an R-net ranks gains in scenes."""
    return assess_rnet(rnet, pairs_of(views))


def pairs_of(views: Sequence[Views]) -> GainPairs:
    """Returns the training pairs of scenes."""
    return gain_pairs([view.coarse for view in views], [view.matches for view in views], [(WIDTH, HEIGHT)] * len(views))


def predicted(rnet: RNet) -> Callable[[Views], BoxGains]:
    """Returns the gains that an R-net promises."""
    return lambda view: view.gains(predict_gains(rnet, view.coarse, WIDTH, HEIGHT))


def by_entropy(view: Views) -> BoxGains:
    """Returns the gains that the entropy of scores stands for."""
    return view.gains(untrained_gains(view.coarse.scores.double().numpy(), "entropy"))


def random_routes(views: Sequence[Views], windows: int, seed: int = 0) -> list[Tensor]:
    """Returns as many random small windows for every scene."""
    random = np.random.default_rng(seed)
    plans = [plan_random(GRID, LATTICES[1], random, windows) for _ in views]
    return [to_route(GRID.whole, plan.windows) for plan in plans]


def zoom_cases(views: Sequence[Views], gains: Callable[[Views], BoxGains]) -> list[ZoomCase]:
    """Returns scenes for a Q-net, which sees the map of the given gains."""
    return [ZoomCase(gains(view).map(), view.truth(), LATTICES) for view in views]


def learn_windows(
    qnet: ConvQnet | ResidualQnet, train: Sequence[ZoomCase], test: Sequence[ZoomCase], updates: int, price: float
) -> list[Numbers]:
    """Teaches a Q-net on some scenes; returns the windows that it chooses in others at a price."""
    train_qnet(qnet, train, QLearning(updates=updates))
    values = values_of(qnet, GRID, LATTICES)
    return [plan_by_value(case.cells, values, LATTICES, GRID, price) for case in test]


def qnet_rows(
    train: Sequence[Views], test: Sequence[Views], gains: Callable[[Views], BoxGains], updates: int, price: float
) -> list[Row]:
    """Teaches both Q-nets and prints what they earn beside the greedy policy; returns their lines of the table."""
    cases, rows = zoom_cases(test, gains), []
    greedy = mean_return(cases, [plan.at(price) for plan in greedy_plans(test, gains)], price)
    print(f"mean return at price {price:g}: greedy {greedy:.3f}")
    for name, qnet in (("plain", ConvQnet(2)), ("residual", ResidualQnet(ConvQnet(2)))):
        windows = learn_windows(qnet, zoom_cases(train, gains), cases, updates, price)
        earned = mean_return(cases, windows, price)
        print(f"  Q-net {name}: {earned:.3f}, {earned / greedy:.1%} of greedy")
        routes = [to_route(GRID.whole, each) for each in windows]
        rows.append(measure(f"Q-net {name}, price {price:g}", test, routes))
    return rows


def table(train: Sequence[Views], test: Sequence[Views], updates: int) -> list[Row]:
    """Returns all lines: the coarse pass alone, random and fixed windows, and greedy ones by price."""
    rnet = train_on(train)
    fit = assess_on(rnet, test)
    print(f"R-net on other scenes: R2 {fit.r2:.2f}, rank correlation {fit.rank_correlation:.2f} ", end="")
    print(f"(entropy {fit.entropy_rank_correlation:.2f})")
    rows = [measure("coarse only", test, random_routes(test, 0))]
    rows += [measure(f"{count} random small windows", test, random_routes(test, count)) for count in (4, 8)]
    fixed = plan_fixed([view.truth() for view in train], LATTICES)
    for count in (1, 2, 4):
        route = to_route(GRID.whole, fixed.windows[:count])
        rows.append(measure(f"best {count} fixed windows", test, [route] * len(test)))
    policies = {"entropy": by_entropy, "R-net": predicted(rnet), "true gain": Views.truth}
    for name, gains in policies.items():
        plans = greedy_plans(test, gains)
        rows += [measure_plans(f"greedy, {name}, price {price:g}", test, plans, price) for price in (1, 4, 8, 16)]
    return rows + (qnet_rows(train, test, predicted(rnet), updates, 4.0) if updates else [])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=233, help="scenes to test on; as many are trained on")
    parser.add_argument("--updates", type=int, default=0, help="of the Q-nets; 0 leaves them out")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    options = parser.parse_args()
    train, test = views_of(2 * options.seed, options.images), views_of(2 * options.seed + 1, options.images)
    best = fine_precision(test)
    print(f"fine only: {best:.3f} on {sum(view.scene.num_people for view in test)} people")
    for row in table(train, test, options.updates):
        print(
            f"{row.name:34} {row.precision / best:7.1%} of fine {row.pixels:7.1%} of pixels {row.windows:5.1f} windows"
        )


if __name__ == "__main__":
    main()
