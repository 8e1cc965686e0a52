import itertools
import math
from dataclasses import replace

import pytest
from matplotlib.text import Annotation, Text

from modicum.reporting.plots import NARROW_IN, WIDE_IN, draw_curve, figure_to_png, figure_to_svg, write_figure
from modicum.reporting.plots.window import choose_window


def labels(figure):
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation)]


def label_boxes(figure):
    """Of the text alone: an annotation's own box has its leader line in it."""
    figure.draw_without_rendering()
    return [Text.get_window_extent(label) for label in labels(figure)]


@pytest.mark.parametrize("width_in", [WIDE_IN, NARROW_IN])
def test_labels_do_not_overlap(curve, evaluation, width_in):
    figure = draw_curve(curve, calibrated=evaluation.calibrated, width_in=width_in)
    boxes = label_boxes(figure)
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_points_that_coincide_get_labels_apart(curve):
    twins = tuple(replace(curve.plain[0], name=f"network {number}") for number in range(4))
    boxes = label_boxes(draw_curve(replace(curve, plain=twins)))
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_points_below_the_window_say_their_value(curve, evaluation):
    figure = draw_curve(curve, calibrated=evaluation.calibrated)
    assert "always 16 px: 74.3 %" in [label.get_text() for label in labels(figure)]
    assert figure.axes[0].get_ylim()[0] > 0.9


def test_an_oracle_out_of_proportion_stands_at_the_upper_edge(curve, evaluation):
    def worse(points):
        return tuple(replace(p, worth=p.worth - 0.2, low=p.low - 0.2, high=p.high - 0.2) for p in points)

    lines = {name: worse(getattr(curve, name)) for name in ("routed", "random", "static", "plain")}
    figure = draw_curve(replace(curve, **lines), calibrated=worse([evaluation.calibrated])[0])
    assert "oracle: 98.3 %" in [label.get_text() for label in labels(figure)]
    assert figure.axes[0].get_ylim()[1] < 0.85


def test_window_shows_everything_where_little_would_be_cut_off(curve):
    close = replace(curve, routed=curve.routed[:6], random=curve.random[:3], static=curve.static[:1])
    window = choose_window([close])
    assert not window.cuts_off
    assert len(draw_curve(close).axes) == 1


def test_ticks_say_share_and_cost(curve):
    figure = draw_curve(curve, plain_cost=curve.plain[0].cost)
    figure.canvas.draw()
    assert "100 %\n4.60" in [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


def test_costs_stand_alone_without_a_plain_network(curve):
    figure = draw_curve(replace(curve, plain=(), static=()))
    assert figure.axes[0].get_xlabel() == "mean cost per image, M multiply-adds"


def test_curve_without_points_is_drawn(curve):
    empty = replace(curve, routed=(), random=(), static=(), oracle=None, plain=())
    assert "<svg" in figure_to_svg(draw_curve(empty))


def test_points_of_no_samples_are_drawn_as_nothing(curve):
    unknown = replace(curve.static[0], worth=math.nan, low=math.nan, high=math.nan)
    of_none = replace(curve, routed=(unknown,), random=(unknown,), static=(unknown,), oracle=unknown, plain=(unknown,))
    assert labels(draw_curve(of_none, calibrated=unknown)) == []


def test_labels_are_not_formulas(curve):
    svg = figure_to_svg(draw_curve(replace(curve, plain=(replace(curve.plain[0], name=r"net $\oops$"),))))
    assert r"net $\oops$" in svg


def test_equal_curves_give_equal_files(curve):
    assert figure_to_svg(draw_curve(curve)) == figure_to_svg(draw_curve(curve))


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")])
def test_suffix_chooses_the_format(tmp_path, curve, suffix, start):
    path = tmp_path / f"curve{suffix}"
    write_figure(path, draw_curve(curve))
    assert path.read_bytes().startswith(start)


def test_other_suffixes_are_refused(tmp_path, curve):
    with pytest.raises(ValueError, match=r"as \.png or \.svg, got .*curve\.jpg"):
        write_figure(tmp_path / "curve.jpg", draw_curve(curve))


def test_png_has_white_ground(curve):
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(figure_to_png(draw_curve(curve)))).convert("RGB")
    assert image.getpixel((0, 0)) == (255, 255, 255)
