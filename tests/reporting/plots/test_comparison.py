from dataclasses import replace

import pytest

from modicum.reporting.plots import NARROW_IN, draw_comparison, write_comparison


def in_milliseconds(curve):
    def timed(points):
        return tuple(replace(point, cost=point.cost / 1e7) for point in points)

    return replace(curve, unit="ms", routed=timed(curve.routed), plain=timed(curve.plain))


def test_every_curve_has_its_name(curve):
    (axes,) = draw_comparison([("first", curve), ("second $x$", curve)]).axes
    assert [text.get_text() for text in axes.texts] == ["first", "second $x$"]


@pytest.mark.parametrize("width_in", [7.6, NARROW_IN])
def test_units_get_a_panel_each_and_names_keep_their_colours(curve, width_in):
    curves = [("a", curve), ("b", curve), ("b", in_milliseconds(curve))]
    left, right = draw_comparison(curves, width_in=width_in).axes
    assert left.get_xlabel().endswith("M multiply-adds")
    assert right.get_xlabel().endswith("ms")
    assert right.texts[0].get_color() == left.texts[1].get_color()


def test_more_curves_than_colours_differ_in_line(curve):
    (axes,) = draw_comparison(
        [(str(number), replace(curve, plain=(), routed=curve.routed[:2])) for number in range(8)]
    ).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 8


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_picture_is_written(tmp_path, curve, suffix):
    write_comparison(tmp_path / f"comparison{suffix}", [("a", curve)])
    assert (tmp_path / f"comparison{suffix}").stat().st_size > 5_000


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one curve"):
        draw_comparison([])
