from dataclasses import replace

import pytest

from modicum.reporting.plots import draw_efficiency


def test_each_bar_says_its_value(evaluation):
    (axes,) = draw_efficiency(evaluation.efficiency).axes
    assert [text.get_text() for text in axes.texts] == ["58 %", "58 %", "58 %", "45 %", "52 %", "60 %"]


def test_devices_get_a_panel_each(evaluation):
    on_gpu = tuple(replace(comparison, device="NVIDIA H200") for comparison in evaluation.efficiency)
    titles = [axes.get_title("left") for axes in draw_efficiency(evaluation.efficiency + on_gpu).axes]
    assert titles == ["saving on cpu, 2 threads", "saving on NVIDIA H200"]


def test_a_loss_of_time_is_drawn_below_zero(evaluation):
    slower = replace(evaluation.efficiency[0], saved_on_clock=-0.4)
    assert draw_efficiency([slower]).axes[0].get_ylim()[0] < -0.4


def test_no_comparisons_are_refused():
    with pytest.raises(ValueError, match="at least one comparison"):
        draw_efficiency([])
