import os
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from modicum.adaptive.curve import Point
from modicum.reporting.plots import NARROW_IN, Entry, draw_comparison, write_comparison
from modicum.reporting.plots.drawing import MUTED


def in_milliseconds(curve):
    def timed(points):
        return tuple(replace(point, cost=point.cost / 1e7) for point in points)

    return replace(curve, unit="ms", routed=timed(curve.routed), plain=timed(curve.plain))


def member(name, cost, accuracy):
    return Point(name, cost, accuracy, accuracy - 0.01, accuracy + 0.01)


@pytest.fixture
def family(curve):
    """Three plain networks, of which the one in the middle is beaten by a cheaper one."""
    members = (member("large", 4.0e6, 0.98), member("worse", 3.0e6, 0.95), member("small", 1.0e6, 0.96))
    return Entry("family", curve, members=members)


def words(axes):
    return [text.get_text() for text in axes.texts]


def frontier(axes):
    (line,) = [line for line in axes.lines if line.get_color() == MUTED and line.get_linewidth() < 1]
    return [(float(cost), float(accuracy)) for cost, accuracy in line.get_xydata()]


def test_every_curve_has_its_name(curve):
    (axes,) = draw_comparison([Entry("first", curve), Entry("second $x$", curve)]).axes
    assert words(axes) == ["first", "second $x$"]


@pytest.mark.parametrize("width_in", [7.6, NARROW_IN])
def test_units_get_a_panel_each_and_names_keep_their_colours(curve, width_in):
    entries = [Entry("a", curve), Entry("b", curve), Entry("b", in_milliseconds(curve))]
    left, right = draw_comparison(entries, width_in=width_in).axes
    assert left.get_xlabel().endswith("M multiply-adds")
    assert right.get_xlabel().endswith("ms")
    assert right.texts[0].get_color() == left.texts[1].get_color()


def test_static_networks_are_named_and_their_frontier_never_falls(curve, family):
    (axes,) = draw_comparison([Entry("a", curve), family]).axes
    assert set(words(axes)) == {"a", "large", "worse", "small"}
    end = axes.get_xlim()[1]
    assert frontier(axes) == [(1.0, 0.96), (4.0, 0.96), (4.0, 0.98), (pytest.approx(end), 0.98)]


def test_several_families_make_one_frontier_and_tell_their_members_apart(curve, family):
    other = replace(family, name="other", members=(member("large", 2.0e6, 0.97),))
    (axes,) = draw_comparison([family, other]).axes
    assert "family: large" in words(axes)
    assert "other: large" in words(axes)
    assert [accuracy for _, accuracy in frontier(axes)] == [0.96, 0.96, 0.97, 0.97, 0.98, 0.98]


def test_curve_of_a_family_is_not_drawn_as_if_it_decided(curve, family):
    (axes,) = draw_comparison([family]).axes
    assert all(line.get_color() == MUTED for line in axes.lines)


def test_every_static_network_is_in_view(curve, family):
    poor = replace(family, members=(*family.members, member("poor", 0.2e6, 0.41)))
    (axes,) = draw_comparison([Entry("a", curve), poor]).axes
    low, high = axes.get_ylim()
    assert low < 0.41 < 0.98 < high


def test_calibrated_point_is_marked_where_it_is(curve):
    calibrated = member("calibrated", 2.0e6, 0.9712)
    (axes,) = draw_comparison([Entry("a", curve, calibrated=calibrated)]).axes
    (place,) = [line.get_xydata()[0] for line in axes.lines if line.get_markersize() == 9]
    np.testing.assert_allclose(place, (2.0, 0.9712))


def test_note_is_written_below(curve):
    figure = draw_comparison([Entry("a", curve)], note="measured apart")
    assert figure.get_supxlabel() == "measured apart"


def test_labels_do_not_overlap_each_other(curve, family):
    entries = [Entry("a", curve), Entry("longer name", curve), family]
    (axes,) = draw_comparison(entries, width_in=NARROW_IN).axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    assert not [1 for i, box in enumerate(boxes) for other in boxes[:i] if box.overlaps(other)]


def test_more_curves_than_colours_differ_in_line(curve):
    (axes,) = draw_comparison(
        [Entry(str(number), replace(curve, plain=(), routed=curve.routed[:2])) for number in range(8)]
    ).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 8


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_picture_is_written(tmp_path, curve, suffix):
    write_comparison(tmp_path / f"comparison{suffix}", [Entry("a", curve)])
    assert (tmp_path / f"comparison{suffix}").stat().st_size > 5_000


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_names_of_any_bytes_are_drawn(tmp_path, curve, suffix):
    file = tmp_path / f"a{suffix}"
    write_comparison(file, [Entry(os.fsdecode(b"caf\xe9") + "\x1b[2J", curve), Entry("b", curve)])
    if suffix == ".svg":
        words = "".join(ElementTree.fromstring(file.read_text(encoding="utf-8")).itertext())
        assert r"caf\udce9\x1b[2J" in words


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one network"):
        draw_comparison([])
