"""A believable evaluation: handwritten digits, routes at 48, 32 and 16 px, drawn from a fixed seed."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.results import Detail, Evaluation, Example
from modicum.classify.standings import Standing, Standings

NAMES = ("48 px", "32 px", "16 px")
MACS = np.array([4.60e6, 2.05e6, 0.51e6])
DECISION = 0.06e6
NUM_TEST = 540


def make_point(label, hits, macs, knob=None, shares=None):
    accuracy = float(hits.mean())
    half = 1.96 * (accuracy * (1 - accuracy) / len(hits)) ** 0.5
    return Point(label, float(macs), accuracy, accuracy - half, min(accuracy + half, 1.0), knob, shares)


def simulate():
    """Whether each route is right on each image, and how hard the network thinks the image is."""
    random = np.random.default_rng(7)
    difficulty = random.beta(1.2, 3, NUM_TEST)
    limits = np.array([0.80, 0.70, 0.40])
    right = difficulty[:, None] + 0.05 * random.standard_normal((NUM_TEST, 3)) < limits
    return right, difficulty + 0.08 * random.standard_normal(NUM_TEST)


def route_by(seen, knob):
    """Routes by seen difficulty: the higher the knob, the cheaper."""
    return (seen < knob + 0.10).astype(int) + (seen < knob - 0.25)


def routed_point(right, seen, knob):
    routes = route_by(seen, knob)
    shares = {name: float((routes == j).mean()) for j, name in enumerate(NAMES) if (routes == j).any()}
    hits = right[np.arange(NUM_TEST), routes]
    return make_point(f"knob {knob:.4g}", hits, MACS[routes].mean() + DECISION, float(knob), shares)


def random_point(right, routed):
    accuracy = sum(share * right[:, NAMES.index(name)].mean() for name, share in routed.shares.items())
    return Point("random, same shares", routed.cost, float(accuracy), float(accuracy) - 0.004, float(accuracy) + 0.004)


def make_curve(knobs):
    right, seen = simulate()
    routed = tuple(routed_point(right, seen, knob) for knob in knobs)
    cheapest_right = np.where(right[:, ::-1].any(1), 2 - right[:, ::-1].argmax(1), 2)
    return Curve(
        unit="MAC",
        num_samples=NUM_TEST,
        routed=routed,
        random=tuple(random_point(right, point) for point in routed),
        static=tuple(make_point(f"always {name}", right[:, j], MACS[j]) for j, name in enumerate(NAMES)),
        oracle=make_point("oracle", right.any(1), MACS[cheapest_right].mean()),
        plain=(Point("plain SmallResNet at 48 px", float(MACS[0]), 0.983, 0.972, 0.993),),
    )


def make_example(number, *, route, cost, predicted):
    image = Image.new("RGB", (48, 48), "black")
    ImageDraw.Draw(image).text((16, 12), str(number), fill="white", font_size=24)
    return Example(f"digits/{number:04d}", image, route, cost, str(number), predicted, 0.93)


def make_efficiency(saved, batch_size, plain_ms, routed_ms):
    return Efficiency(batch_size, 2, "cpu", plain_ms, routed_ms, saved, 1 - routed_ms / plain_ms)


@pytest.fixture(scope="session")
def curve():
    right, seen = simulate()
    knobs = np.linspace(-0.2, 1.4, 400)
    costs = np.array([routed_point(right, seen, knob).cost for knob in knobs])
    nearest = [abs(costs - cost).argmin() for cost in np.linspace(costs[0], costs[-1], 13)]
    return make_curve(knobs[nearest])


@pytest.fixture(scope="session")
def evaluation(curve):
    right, seen = simulate()
    knob = 0.42
    calibrated = routed_point(right, seen, knob)
    timings = ((1, 1.31, 0.72), (8, 0.62, 0.30), (64, 0.48, 0.19))
    saved = 1 - calibrated.cost / MACS[0]
    return Evaluation(
        system="drnet",
        data="scikit-learn's handwritten digits on scenes of 48 px (embedded)",
        num_images={"train": 1078, "calibration": 179, "test": NUM_TEST},
        classes=tuple("0123456789"),
        resolution_px=48,
        curve=curve,
        calibration=Calibration(0.4 * MACS[0], "MAC", knob, 0.398 * MACS[0], MACS[0], 0.972, 179, "5f0c2a9be1d34877"),
        calibrated=calibrated,
        efficiency=tuple(make_efficiency(saved, *timing) for timing in timings),
        cheapest=tuple(make_example(n, route="16 px", cost=0.124, predicted=str(n)) for n in range(6)),
        most_expensive=tuple(make_example(n, route="48 px", cost=1.013, predicted=str(n % 8)) for n in range(4, 10)),
    )


@pytest.fixture(scope="session")
def contested(evaluation):
    """The same beside simple rivals of equal cost, the cascade the strongest in multiply-adds, a mix in time."""
    curve, cost = evaluation.curve, evaluation.calibrated.cost
    cascade = tuple(
        Point("cascade of 16 px, 32 px", share * float(MACS[1]), worth, worth - 0.01, worth + 0.01)
        for share, worth in ((1.25, 0.985), (0.9, 0.98), (0.5, 0.96), (0.25, 0.88))
    )
    static = Standing("static", "16 px", 0.51e6, 0.88, 0.101, 0.07, 0.13)
    mix = Standing("mix", "mix of 16 px and 32 px", cost, 0.97, 0.011, 0.001, 0.02)
    chain = Standing("cascade", "cascade of 16 px, 32 px", cost, 0.979, 0.002, -0.006, 0.01)
    in_macs = Standings("MAC", cost, (static, mix, chain))
    in_ms = Standings("ms", 0.25, (replace(static, cost=0.1), replace(mix, cost=0.25)), untimed=("half a network",))
    curve = replace(curve, cascade=cascade)
    timed = replace(curve, unit="ms", routed=curve.routed, random=(), oracle=None)
    return replace(evaluation, curve=curve, curve_ms=timed, standings=(in_macs, in_ms))


@pytest.fixture(scope="session")
def detail():
    return Detail(
        title="Blocks kept",
        note="Share of the test images that ran each block at the calibrated knob.",
        columns=("block", "all images", "hard images"),
        rows=(("stage 1, block 1", "100 %", "100 %"), ("stage 2, block 1", "41 %", "87 %")),
        examples=(make_example(3, route="4 of 9 blocks", cost=0.51, predicted="8"),),
    )


@pytest.fixture(scope="session")
def metrics_rows():
    random = np.random.default_rng(3)
    rows = []
    for stage, epochs in (("backbone", 12), ("joint", 8), ("plain", 12)):
        for step in range(0, epochs * 34, 5):
            loss = 2.3 * np.exp(-step / 90) + 0.1 + 0.05 * random.random()
            rows.append({"stage": stage, "step": step, "epoch": step // 34, "train/loss": loss})
        for epoch in range(epochs):
            row = {"stage": stage, "step": epoch * 34 + 33, "epoch": epoch}
            row["val/accuracy"] = 0.98 - 0.8 * np.exp(-epoch / 2)
            if stage == "backbone":
                row |= {f"val/accuracy_{side}px": row["val/accuracy"] - gap for side, gap in ((48, -0.01), (16, 0.15))}
            rows.append(row)
    return rows
