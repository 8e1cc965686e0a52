import numpy as np
import pytest

from modicum.saliency.data.scenes import PHOTOGRAPHS, ProceduralScenes, photograph
from modicum.storage.errors import DataError


@pytest.fixture(scope="module")
def scenes():
    return ProceduralScenes(side=48, sizes=(30, 10, 10))


def test_no_photograph_serves_in_two_parts():
    names = [name for part in PHOTOGRAPHS.values() for name in part]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [name for part in PHOTOGRAPHS.values() for name in part])
def test_every_photograph_comes_with_the_packages(name):
    pixels = photograph(name)
    assert pixels.dtype == np.uint8
    assert max(pixels.shape[:2]) <= 512


def test_scene_depends_on_seed_and_number_alone(scenes):
    again, other = ProceduralScenes(48, sizes=(30, 10, 10)), ProceduralScenes(48, seed=1, sizes=(30, 10, 10))
    np.testing.assert_array_equal(scenes.pair(7).pixels, again.pair(7).pixels)
    assert scenes.digest(7) == again.digest(7) != other.digest(7)


def test_every_scene_shows_something_and_not_only_that(scenes):
    shares = np.array([(scenes.pair(index).mask > 128).mean() for index in range(50)])
    assert 0.02 < shares.min() < shares.max() < 0.7


def test_masks_are_exact_coverage_with_soft_edges(scenes):
    mask = scenes.pair(3).mask
    soft = ((mask > 0) & (mask < 255)).mean()
    assert mask.max() == 255
    assert 0 < soft < 0.15


def test_name_says_that_scenes_are_procedural(scenes):
    assert scenes.name.startswith("procedural scenes")


def test_records_say_their_parts(scenes):
    splits = [record.split for record in scenes.records]
    assert [splits.count(part) for part in ("train", "calibration", "test")] == [30, 10, 10]


def test_impossible_scenes_are_refused():
    with pytest.raises(DataError, match="side >= 32 and at least one per part, got 16"):
        ProceduralScenes(side=16)
