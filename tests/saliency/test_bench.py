import pytest
import torch

from modicum.saliency.bench import fixed_network, photograph_rows


@pytest.fixture(scope="module")
def rows(quick_rows):
    return quick_rows("saliency")


def test_targets_are_those_that_are_promised(rows):
    targets = [(row.target, row.sense, row.unit) for row in rows if row.target is not None]
    assert targets == [(1e-4, "at most", "of 1"), (1.3, "at least", "ratio")]


def test_folded_map_is_the_plain_one(rows):
    assert rows[0].name.startswith("largest difference of the folded map")
    assert rows[0].holds


@pytest.mark.parametrize(("threads", "target"), [(1, None), (2, 3.0)])
def test_photograph_has_its_target_on_two_threads(threads, target, monkeypatch):
    network = fixed_network(encoder="small", width=8, steps=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # a second thread may have no core of its own here
    whole, *parts = photograph_rows(network, 32, quick=True)
    assert (whole.target, whole.sense, whole.unit) == (target, "at most", "s")
    assert [part.target for part in parts] == [None, None]
