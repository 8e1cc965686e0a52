"""What windows promise, by boxes and by maps, against loops over boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.detect.overlaps import Found
from modicum.detect.zoom.gains import BoxGains, MapGains, remembered_gains, untrained_gains
from modicum.detect.zoom.windows import Grid, Lattice, enumerate_windows

GRID = Grid.of(640, 480, columns=16)
LATTICES = enumerate_windows(GRID)
ON_CELLS = Lattice(320, 240, np.array([0]), np.array([0]))


def random_gains(seed, count=30):
    random = np.random.default_rng(seed)
    corners = random.uniform(-20, 600, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, 120, (count, 2))], axis=1)
    return BoxGains.of(boxes, random.normal(size=count), GRID)


def is_inside(box, window, margin):
    """Whether a box is in a window, away from those of its borders that lie in the image."""
    lower = [place + margin * (place > 0) for place in window[:2]]
    upper = [place - margin * (place < limit) for place, limit in zip(window[2:], (640, 480), strict=True)]
    return all(box[:2] >= lower) and all(box[2:] <= upper)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 8.0]))
def test_windows_earn_the_boxes_fully_inside(seed, margin):
    gains = random_gains(seed)
    for lattice in LATTICES:
        expected = [
            sum(gain for box, gain in zip(gains.boxes, gains.gains, strict=True) if is_inside(box, window, margin))
            for window in lattice.windows()
        ]
        np.testing.assert_allclose(gains.on(lattice, margin).ravel(), expected, atol=1e-12)


def test_a_box_beyond_the_border_is_inside_the_window_that_ends_there():
    gains = BoxGains.of(np.array([[600.0, 400, 700, 500]]), np.array([1.0]), GRID)

    assert gains.on(LATTICES[1])[-1, -1] == 1


def test_a_window_that_was_looked_at_promises_nothing_more():
    for gains in (random_gains(0), MapGains(GRID, random_gains(0).map())):
        rest = gains.without(ON_CELLS.window(0))

        assert rest.on(ON_CELLS)[0, 0] == pytest.approx(0)
        assert rest.total() == pytest.approx(gains.total() - gains.on(ON_CELLS)[0, 0])


def test_map_of_boxes_sums_to_their_gains():
    gains = random_gains(0)

    assert gains.map().sum() == pytest.approx(gains.total())


def test_windows_of_a_map_with_a_margin_earn_less_where_all_gains_are_positive():
    gains = MapGains(GRID, np.ones((12, 16)))

    assert (gains.on(LATTICES[0], margin=8) < gains.on(LATTICES[0])).all()


def test_entropy_is_highest_where_the_detector_is_undecided():
    gains = untrained_gains(np.array([0.0, 0.1, 0.5, 0.9, 1.0]), "entropy")

    assert gains.argmax() == 2
    np.testing.assert_allclose(gains, gains[::-1], atol=1e-9)
    assert gains[2] == pytest.approx(np.log(2))


def test_score_stands_for_the_gain_where_it_is_asked_for():
    assert untrained_gains(np.array([0.25]), "score").tolist() == [0.25]


def test_what_the_coarse_pass_no_longer_sees_is_remembered():
    boxes = np.array([[0.0, 0, 40, 40], [100, 0, 140, 40], [200, 0, 240, 40]])
    last = Found(boxes, np.float32([0.9, 0.8, 0.7]), np.array([0, 0, 1]))
    coarse = Found(boxes[[0, 2]] + 2, np.float32([0.1, 0.1]), np.array([0, 0]))

    remembered, gains = remembered_gains(last, coarse)

    assert remembered.tolist() == boxes[1:].tolist()  # the third is of another class now
    assert gains.tolist() == pytest.approx([0.8, 0.7])
