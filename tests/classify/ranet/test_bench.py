import math

import pytest
import torch

from modicum.adaptive.exits import CommonThreshold
from modicum.adaptive.planned import PlannedExits
from modicum.classify.ranet import bench
from modicum.classify.ranet.bench import (
    BUDGETS,
    MIX,
    clock_rows,
    fixed_network,
    planned_mixes,
    random_images,
    run_planned,
    run_simulated,
    runner_rows,
    shares_at,
)
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.runner import OnnxRANet
from modicum.classify.ranet.structure import CIFAR_8_EXITS, Structure
from modicum.measuring.counting import count_macs
from modicum.measuring.timing import threads_text

TINY = Structure((1, 2), (2, 1), (2, 1), base_channels=4, growth=4, first_blocks=1, block_step=1, layers=2)


@pytest.fixture(scope="module")
def network():
    network = fixed_network(TINY)
    network.policy = PlannedExits(CommonThreshold(2), 2)
    return network


@pytest.fixture(scope="module")
def eight_exits():
    return RANet(CIFAR_8_EXITS, num_classes=10)


def test_the_mix_is_dealt_out_to_the_nearest_image(eight_exits):
    counts = planned_mixes(eight_exits, 64)["mix"].bincount(minlength=8).tolist()
    assert sum(counts) == 64
    assert all(abs(count - 64 * share) <= 1 for count, share in zip(counts, MIX, strict=True))


@pytest.mark.parametrize("budget", BUDGETS)
def test_geometric_mixes_cost_what_they_should(eight_exits, budget):
    costs = torch.tensor(eight_exits.costs.per_route, dtype=torch.float64) / eight_exits.costs.plain
    assert float(shares_at(eight_exits, budget) @ costs) == pytest.approx(budget, abs=1e-6)


@torch.inference_mode()
def test_early_exit_and_the_published_way_answer_as_planned(network):
    images, routes = random_images(6, 32), torch.tensor([1, 0, 0, 1, 0, 1])
    expected = network.run(images, routes)
    torch.testing.assert_close(run_planned(network, images, routes), expected)
    torch.testing.assert_close(run_simulated(network, images, routes), expected)


@torch.inference_mode()
def test_random_statistics_are_sane(network):
    assert network.every_exit(random_images(8, 32)).abs().max() < 100


MIXES = ("mix", "geometric mix at 25%", "geometric mix at 60%")


def check_rows(rows, setting):
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert all(math.isfinite(row.value) for row in rows)
    assert {f"S_wall / S_theory, {mix}, {setting}" for mix in MIXES} <= set(names)


class Noted:
    """A head's graph that notes its number when it runs."""

    def __init__(self, head, number, seen):
        self.head, self.number, self.seen, self.reads = head, number, seen, head.reads

    def __call__(self, tensors):
        self.seen.append(self.number)
        return self.head(tensors)


def value(rows, start):
    (found,) = [row.value for row in rows if row.name.startswith(start)]
    return found


@pytest.mark.parametrize("mix", MIXES)
def test_savings_are_against_the_last_exit_alone(mix):
    network = fixed_network(TINY)
    seconds = {"last": 3.0, "all": 5.0, "published": 6.0, **dict.fromkeys(MIXES, 2.0)}
    mixes = planned_mixes(network, 20)
    rows = bench._rows(network, "here", seconds, mixes, 20, None)
    mean = float(network.costs.of(mixes[mix]).mean())
    alone = count_macs(network.plain_network(), random_images(1, 32))
    assert value(rows, f"S_theory, {mix}, here") == pytest.approx(1 - mean / alone)
    assert value(rows, f"S_wall, {mix}, here") == pytest.approx(1 / 3)
    assert value(rows, f"published way / early exit, {mix}, here") == pytest.approx(3)


@torch.inference_mode()
def test_last_exit_only_is_timed_without_the_other_heads(monkeypatch):
    network, runs = fixed_network(TINY), {}
    monkeypatch.setattr(bench, "time_in_turn", lambda timed, rounds: runs.update(timed) or dict.fromkeys(timed, 1.0))
    seen = []
    for number, segment in enumerate(network.segments, start=1):
        segment.head.register_forward_hook(lambda *_, number=number: seen.append(number))  # copies have it, too
    bench.clock_rows(network, 64, 1)
    seen.clear()
    runs["last"]()
    assert seen == [2]


def test_deployed_last_exit_only_is_timed_without_the_other_heads(exported, monkeypatch):
    network, _, folder = exported
    runner, runs, seen = OnnxRANet(folder, threads=1), {}, []
    monkeypatch.setattr(bench, "time_in_turn", lambda timed, rounds: runs.update(timed) or dict.fromkeys(timed, 1.0))
    bench.runner_rows(network, runner, 64, 1, "here")
    monkeypatch.setattr(
        runner,
        "_heads",
        [Noted(head, number, seen) for number, head in enumerate(runner._heads, start=1)],
    )
    runs["last"]()
    assert seen == [3]


def test_eager_rows_tell_every_mix_and_the_published_way():
    rows = clock_rows(fixed_network(TINY), 32, 1)
    check_rows(rows, f"eager, batch 32, {threads_text(torch.get_num_threads())}")
    assert sum(row.name.startswith("published way / early exit") for row in rows) == len(MIXES)


def test_deployed_rows_tell_every_mix(exported):
    network, _, folder = exported
    check_rows(runner_rows(network, OnnxRANet(folder, threads=1), 32, 1, "here"), "here")
