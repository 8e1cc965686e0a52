import pytest
from PIL import Image

from modicum.reporting.plots import draw_explanation, figure_to_png

BEST = (("llama", 0.9), ("kangaroo", 0.1))


def test_each_step_has_its_picture_and_the_best_classes_their_bars():
    seen = [("64 px: 41% sure", Image.new("RGB", (64, 64))), ("128 px: 97% sure", Image.new("RGB", (128, 128)))]
    figure = draw_explanation(seen, BEST, title="a.png")
    assert [panel.get_title(loc="left") for panel in figure.axes[:2]] == ["64 px: 41% sure", "128 px: 97% sure"]
    assert [bar.get_width() for bar in figure.axes[2].patches] == pytest.approx([0.9, 0.1])
    assert figure_to_png(figure).startswith(b"\x89PNG")


def test_long_and_unprintable_names_are_drawn_short_and_escaped():
    figure = draw_explanation([("whole", Image.new("RGB", (8, 8)))], [("x" * 80, 1.0)], title="\udcff.png")
    assert len(figure.axes[1].get_yticklabels()[0].get_text()) == 24
    assert figure_to_png(figure).startswith(b"\x89PNG")
