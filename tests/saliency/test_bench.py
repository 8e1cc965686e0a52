import pytest

from modicum.saliency.bench import bench


@pytest.fixture(scope="module")
def rows():
    return bench(threads=1, quick=True)


def test_targets_are_those_that_are_promised(rows):
    targets = [(row.target, row.sense, row.unit) for row in rows if row.target is not None]
    assert targets == [(1e-4, "at most", "of 1"), (1.3, "at least", "ratio"), (3.0, "at most", "s")]


def test_folded_map_is_the_plain_one(rows):
    assert rows[0].name.startswith("largest difference of the folded map")
    assert rows[0].holds
