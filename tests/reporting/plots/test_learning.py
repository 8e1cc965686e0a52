import pytest

from modicum.reporting.plots import NARROW_IN, draw_learning, figure_to_svg
from modicum.reporting.plots.learning import has_curves


def test_each_stage_has_a_column_with_its_name(metrics_rows):
    titles = [axes.get_title("left") for axes in draw_learning(metrics_rows).axes]
    assert [title for title in titles if title] == ["backbone", "joint", "plain"]


def test_lines_hold_what_the_log_says():
    rows = [{"stage": "only", "step": step, "train/loss": 3.0 - step} for step in range(3)]
    (line,) = draw_learning(rows).axes[0].lines
    assert line.get_xydata().tolist() == [[0, 3], [1, 2], [2, 1]]


def test_figures_that_were_not_finite_are_left_out():
    rows = [{"stage": "only", "step": step, "train/loss": None if step == 1 else 1.0} for step in range(3)]
    (line,) = draw_learning(rows).axes[0].lines
    assert len(line.get_xdata()) == 2


def test_long_logs_are_thinned_to_means():
    rows = [{"stage": "only", "step": step, "train/loss": float(step % 2)} for step in range(3000)]
    (line,) = draw_learning(rows).axes[0].lines
    assert len(line.get_xdata()) <= 150
    assert set(line.get_ydata()) == {0.5}


def test_narrow_figures_stack_the_stages(metrics_rows):
    narrow, wide = draw_learning(metrics_rows, width_in=NARROW_IN), draw_learning(metrics_rows)
    assert narrow.get_figheight() > wide.get_figheight()
    assert figure_to_svg(narrow).count(">step<") == 3


def test_accuracies_share_their_range(metrics_rows):
    panels = draw_learning(metrics_rows).axes[3:]
    assert len({axes.get_ylim() for axes in panels}) == 1


@pytest.mark.parametrize("rows", [[], [{"stage": "only", "step": 1, "lr": 0.1}]])
def test_log_without_curves_is_refused(rows):
    assert not has_curves(rows)
    with pytest.raises(ValueError, match="neither losses nor accuracies"):
        draw_learning(rows)
