import numpy as np
import pytest
from sklearn.datasets import load_digits

from modicum.classify.data.scenes import DigitScenes, _place, _resize_weights
from modicum.storage.errors import DataError

SIZES = (600, 200, 300)


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes(sizes=SIZES)


def part_of(scenes, name):
    return np.array([record.split == name for record in scenes.records])


def test_parts_have_the_asked_sizes_and_ids(scenes):
    assert [part_of(scenes, name).sum() for name in ("train", "calibration", "test")] == list(SIZES)
    assert (scenes.records[17].id, scenes.records[-1].id) == ("train/00017", "test/00299")


def test_scenes_are_grey_rgb_of_the_given_side(scenes):
    pixels = scenes.pixels(3)
    assert (pixels.shape, pixels.dtype) == ((48, 48, 3), np.uint8)
    assert (pixels == pixels[..., :1]).all()


def test_same_seed_gives_the_same_scenes(scenes):
    again = DigitScenes(sizes=SIZES)
    assert [again.digest(i) for i in range(0, 1100, 100)] == [scenes.digest(i) for i in range(0, 1100, 100)]


def test_other_seed_gives_other_scenes(scenes):
    assert DigitScenes(seed=1, sizes=(5, 5, 5)).digest(0) != DigitScenes(seed=0, sizes=(5, 5, 5)).digest(0)


def test_no_source_digit_serves_in_two_parts(scenes):
    used = [set(scenes.source_digit[part_of(scenes, name)]) for name in ("train", "calibration", "test")]
    assert len(set.union(*used)) == sum(map(len, used))


def test_label_is_that_of_the_source_digit(scenes):
    target = load_digits().target
    assert [record.label for record in scenes.records] == target[scenes.source_digit].tolist()


def test_all_classes_are_in_all_parts(scenes):
    for name in ("train", "calibration", "test"):
        assert {record.label for record in scenes.records if record.split == name} == set(range(10))


@pytest.mark.parametrize("side", [16, 48, 96])
def test_digit_sizes_are_log_uniform_in_proportion_to_the_side(side):
    sizes = DigitScenes(side=side, sizes=(1000, 1, 1)).digit_size_px * 48 / side
    assert 9 <= sizes.min() < 10 < 42 < sizes.max() <= 44
    assert np.median(sizes) == pytest.approx(np.sqrt(9 * 44), rel=0.05)


def test_large_digits_have_more_ink_than_small_ones(scenes):
    ink = np.array([scenes.pixels(i).mean() for i in range(600)])
    size = scenes.digit_size_px[:600]
    assert ink[size > 30].mean() > 2 * ink[size < 14].mean()


def test_resized_digit_matches_a_plain_bilinear_resize():
    digit = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    weights = _resize_weights(np.array([10], np.float32), np.array([20], np.float32), 48)
    assert weights[0, 11:29].sum(1) == pytest.approx(1, abs=1e-5)
    centre = (weights @ digit)[0, 20, 3]  # pixel 20 has its centre at (20.5 - 10) * 8 / 20 - 0.5 = 3.7 source px
    assert centre == pytest.approx(0.3 * digit[0, 3, 3] + 0.7 * digit[0, 4, 3], abs=1e-5)


def test_placed_digit_keeps_its_ink_in_proportion_to_its_area():
    digit = np.zeros((2, 8, 8), np.float32)
    digit[:, 2:6, 2:6] = 1
    placed = _place(digit, np.array([6, 24], np.float32), np.random.default_rng(0), 48)
    assert placed.sum((1, 2)) == pytest.approx([16 * (6 / 8) ** 2, 16 * (24 / 8) ** 2], rel=0.05)


def test_name_says_what_is_real_and_what_is_drawn(scenes):
    assert "real handwritten digits (scikit-learn) in procedurally drawn scenes" in scenes.name
    assert scenes.origin == "embedded:digits-scenes"


@pytest.mark.parametrize("options", [{"side": 8}, {"sizes": (10, 0, 10)}])
def test_impossible_scenes_are_refused(options):
    with pytest.raises(DataError, match="need side >= 16 and at least one per part"):
        DigitScenes(**options)
