import math

import pytest
import torch

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop import bench as blockdrop_bench
from modicum.classify.blockdrop.bench import bench, decide_and_run, fixed_network, run_published, varied_routes
from modicum.classify.blockdrop.network import BlockDrop


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    backbone = SmallResNet(10, widths=(4, 8), blocks=2, shortcut="pool")
    return BlockDrop(backbone, num_classes=10, image_px=16, policy="small").eval()


@pytest.fixture(scope="module")
def rows(quick_rows):
    return {row.name: row for row in quick_rows("blockdrop")}


def test_every_setting_is_held_against_the_static_network_and_the_published_way(rows):
    for setting in ("batch 1, varied policies", "batch 64, 64 distinct policies", "batch 64, 10 distinct policies"):
        where = f"eager channels-last, {setting}, 1 thread"
        static, routed = rows[f"static network, {where}"].value, rows[f"routed, {where}"].value
        assert rows[f"S_wall, {where}"].value == pytest.approx(1 - routed / static)
        assert rows[f"S_wall / S_theory, {where}"].target == 0.88
        assert f"published way (each block for all images if any keeps it, masked) / routed, {where}" in rows


def test_the_deployed_form_is_timed(rows):
    assert rows["routed, deployed, batch 1, varied policies, 1 thread"].value > 0


def test_all_figures_are_finite(rows):
    assert all(math.isfinite(row.value) for row in rows.values())


def test_threads_are_restored(monkeypatch):
    before, used = torch.get_num_threads(), []
    monkeypatch.setattr(blockdrop_bench, "clock_rows", lambda *_, **__: used.append(torch.get_num_threads()) or [])
    monkeypatch.setattr(blockdrop_bench, "deployed_rows", lambda *_: [])
    bench(quick=True)
    assert (set(used), torch.get_num_threads()) == ({1, 2}, before)


def test_the_saving_in_theory_is_that_of_the_published_sizes():
    network = fixed_network("cifar_resnet110_pool", "resnet8", 32)
    routes = varied_routes(5, 54, 5)  # 17 to 21 blocks
    assert blockdrop_bench.saving_in_theory(network, routes) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(("count", "distinct"), [(64, 64), (64, 10), (20, 20)])
def test_policies_are_varied_and_keep_17_to_21_of_54_blocks(count, distinct):
    routes = varied_routes(count, 54, distinct)
    assert len(torch.unique(routes, dim=0)) == distinct
    assert set(routes.sum(dim=1).tolist()) == {17, 18, 19, 20, 21}


def test_the_published_way_gives_the_same_logits(network):
    images, routes = torch.randn(5, 3, 16, 16), varied_routes(5, 4, 3)
    routes[:, 2] = False  # a block that no image keeps
    with torch.inference_mode():
        expected = decide_and_run(network, images, routes)
        torch.testing.assert_close(run_published(network, images, routes), expected, rtol=1e-5, atol=1e-5)


def test_the_published_way_computes_a_block_for_all_images_if_any_keeps_it(network):
    images, routes = torch.randn(3, 3, 16, 16), torch.zeros(3, 4, dtype=torch.bool)
    routes[1, 3] = True
    sizes = []
    hooks = [
        unit.block.register_forward_hook(lambda _, args, __, number=unit.index: sizes.append((number, len(args[0]))))
        for unit in network.blocks
    ]
    with torch.inference_mode():
        run_published(network, images, routes)
    for hook in hooks:
        hook.remove()
    assert sizes == [(3, 3)]
