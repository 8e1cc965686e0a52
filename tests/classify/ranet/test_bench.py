import math

import pytest
import torch

from modicum.classify.ranet.bench import (
    BUDGETS,
    MIX,
    PlannedExits,
    clock_rows,
    fixed_network,
    planned_mixes,
    random_images,
    run_planned,
    run_simulated,
    runner_rows,
    shares_at,
    threads_text,
)
from modicum.classify.ranet.network import ranet_cifar
from modicum.classify.ranet.runner import OnnxRANet
from modicum.classify.ranet.structure import Structure

TINY = Structure((1, 2), (2, 1), (2, 1), base_channels=4, growth=4, first_blocks=1, block_step=1, layers=2)


@pytest.fixture(scope="module")
def network():
    network = fixed_network(TINY)
    network.policy = PlannedExits(2)
    return network


def test_the_mix_is_dealt_out_to_the_nearest_image():
    counts = planned_mixes(ranet_cifar(), 64)["mix"].bincount(minlength=8).tolist()
    assert sum(counts) == 64
    assert all(abs(count - 64 * share) <= 1 for count, share in zip(counts, MIX, strict=True))


@pytest.mark.parametrize("budget", BUDGETS)
def test_geometric_mixes_cost_what_they_should(budget):
    network = ranet_cifar()
    costs = torch.tensor(network.costs.per_route, dtype=torch.float64) / network.costs.plain
    assert float(shares_at(network, budget) @ costs) == pytest.approx(budget, abs=1e-6)


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


def test_eager_rows_tell_every_mix_and_the_published_way():
    rows = clock_rows(fixed_network(TINY), 32, 1)
    check_rows(rows, f"eager, batch 32, {threads_text(torch.get_num_threads())}")
    assert sum(row.name.startswith("published way / early exit") for row in rows) == len(MIXES)


def test_deployed_rows_tell_every_mix(exported):
    network, _, folder = exported
    check_rows(runner_rows(network, OnnxRANet(folder, threads=1), 32, 1, "here"), "here")
