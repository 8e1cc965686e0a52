from dataclasses import replace

import pytest

from modicum.reporting.plots import NARROW_IN, draw_routes, figure_to_svg
from modicum.reporting.plots.routes import order_routes, route_colours


def test_routes_are_ordered_by_cost(curve):
    assert order_routes(curve.routed, curve) == ["16 px", "32 px", "48 px"]


def test_routes_without_static_points_are_ordered_by_number(curve):
    point = replace(curve.routed[0], shares={"12 of 54 blocks": 0.5, "9 of 54 blocks": 0.25, "54 of 54 blocks": 0.25})
    names = order_routes([point], replace(curve, static=()))
    assert names == ["9 of 54 blocks", "12 of 54 blocks", "54 of 54 blocks"]


def test_bars_of_each_setting_add_up_to_one(curve, evaluation):
    bars = draw_routes(curve, calibrated=evaluation.calibrated).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(len(curve.routed))


def test_histogram_says_the_shares(curve, evaluation):
    figure = draw_routes(curve, calibrated=evaluation.calibrated, width_in=NARROW_IN)
    assert [text.get_text() for text in figure.axes[1].texts] == ["35 %", "51 %", "14 %"]


def test_sweep_alone_has_a_legend(curve):
    svg = figure_to_svg(draw_routes(curve))
    assert "16 px" in svg


def test_histogram_alone_is_drawn(curve, evaluation):
    assert len(draw_routes(replace(curve, routed=()), calibrated=evaluation.calibrated).axes) == 1


def test_many_routes_are_not_all_named(curve, evaluation):
    shares = {f"{kept} of 54 blocks": 1 / 55 for kept in range(55)}
    figure = draw_routes(replace(curve, routed=()), calibrated=replace(evaluation.calibrated, shares=shares))
    assert len(figure.axes[0].get_yticks()) <= 8


def test_every_route_has_a_colour():
    assert len(set(route_colours(["a", "b", "c"]))) == 3
    assert len(route_colours(["a"])) == 1


def test_curve_without_shares_is_refused(curve):
    with pytest.raises(ValueError, match="which routes it took"):
        draw_routes(replace(curve, routed=()))
