import math

import pytest
import torch

from modicum.classify.cascade import bench
from modicum.classify.cascade.bench import FULL, MIX, QUICK, fixed_network, planned_routes, run_planned

SECONDS = {"full": 4.0, "routed": 1.0, "last": 6.0}


@pytest.fixture(scope="module")
def network():
    return fixed_network(QUICK)


def value(rows, start):
    (found,) = [row.value for row in rows if row.name.startswith(start)]
    return found


def test_the_mix_is_dealt_out_to_the_nearest_image():
    counts = planned_routes(len(FULL.steps), bench.IMAGES).bincount(minlength=3).tolist()
    assert sum(counts) == bench.IMAGES
    assert all(abs(count - bench.IMAGES * share) <= 1 for count, share in zip(counts, MIX, strict=True))


@torch.inference_mode()
def test_images_leave_where_it_was_planned(network):
    images, routes = bench.random_images(6, 64), torch.tensor([1, 0, 2, 1, 0, 1])
    found = run_planned(bench.leaving_as_planned(network), images, routes)
    torch.testing.assert_close(found, network.run(images, routes), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_maps_do_not_fade(network):
    maps, _ = network.trunk(bench.random_images(2, 64), 0, 2)
    assert 1e-3 < float(maps.abs().max()) < 1e3


def test_time_is_judged_as_a_share_of_the_full_networks(network):
    rows = bench._rows(network, "here", SECONDS, 0.28)
    mean = float(network.costs.of(planned_routes(3, bench.IMAGES)).mean())
    assert value(rows, "time, cascade / full network") == pytest.approx(0.25)
    assert value(rows, "time through all steps / full network") == pytest.approx(1.5)
    assert value(rows, "multiply-adds, cascade / full network") == pytest.approx(mean / network.costs.plain)
    assert value(rows, "S_wall / S_theory") == pytest.approx(0.75 / (1 - mean / network.costs.plain))
    (judged,) = [row for row in rows if row.target is not None]
    assert (judged.name, judged.sense, judged.holds) == ("time, cascade / full network, here", "at most", True)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_all_are_timed_over_the_same_images(network, monkeypatch, batch_size):
    seen, timed = [], {}
    monkeypatch.setattr(bench, "time_in_turn", lambda runs, rounds: timed.update(runs) or dict.fromkeys(runs, 1.0))
    batches = torch.split(bench.random_images(bench.IMAGES, 8), batch_size)
    note = lambda part, routes: seen.append((len(part), len(routes)))  # noqa: E731  it is called once
    bench._time(note, note, batches, 3, 1)
    for name, images in {"full": bench.IMAGES, "routed": bench.IMAGES, "last": max(bench.SINGLES, batch_size)}.items():
        seen.clear()
        timed[name]()
        assert seen == [(batch_size, batch_size)] * (images // batch_size), name


def test_quick_benchmark_times_every_form_and_judges_one_at_each_batch_size(quick_rows):
    pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    rows = quick_rows("cascade")
    assert all(math.isfinite(row.value) for row in rows)
    timed = {row.name: row.target for row in rows if row.name.startswith("time, cascade / full network")}
    forms = [(form, size) for size in (1, 32) for form in ("eager", "folded")] + [("deployed", 1), ("deployed", 32)]
    assert list(timed) == [f"time, cascade / full network, {form}, batch {size}, 1 thread" for form, size in forms]
    assert [form for form, target in zip(forms, timed.values(), strict=True) if target] == [
        ("eager", 32),
        ("deployed", 1),
    ]
