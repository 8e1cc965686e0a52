"""The report on a detector that zooms in: figures beside the baselines', the curve over the price, time, pictures."""

from functools import partial

from matplotlib.figure import Figure

from modicum.detect.zoom.results import Evaluation, Example, Standing
from modicum.reporting.plots import draw_curve
from modicum.reporting.quantities import (
    MISSING,
    format_interval,
    format_number,
    format_percent,
    format_share,
)
from modicum.reporting.report import Findings, Note, Picture, Plot, Report, Row, Section, Strip, Table

_COCO = {"AP": "ap", "AP small": "ap_small", "AP medium": "ap_medium", "AP large": "ap_large", "recall": "recall"}


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a run that zooms in."""
    return Report(
        evaluation.system,
        _headline(evaluation),
        _data_line(evaluation),
        (
            _standings(evaluation),
            _curve(evaluation),
            *_gains(evaluation),
            *_clock(evaluation),
            *_returns(evaluation),
            *_examples(evaluation),
        ),
        evaluation.to_json(),
    )


def _headline(evaluation: Evaluation) -> str:
    own, fine = evaluation.standings[0], evaluation.standing("fine alone")
    kept = _kept(own, fine)
    return (
        f"On {evaluation.num_images['test']:,} test pictures zooming keeps {format_percent(kept)} of the average "
        f"precision of the fine detector at {format_share(own.pixels)} of the pixels, the coarse pass included."
    )


def _data_line(evaluation: Evaluation) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in evaluation.num_images.items())
    return f"{evaluation.data}: {counts} pictures"


def _standings(evaluation: Evaluation) -> Section:
    fine, has_miss_rate = evaluation.standing("fine alone"), evaluation.standings[0].miss_rate is not None
    columns = ("method", "AP50", "95 %", "of fine", *_COCO, "pixels", "MAC", "windows")
    rows = tuple(
        Row(
            (
                each.name,
                _number(each.figures.ap50),
                format_interval(each.low, each.high),
                format_percent(_kept(each, fine)),
                *(_number(getattr(each.figures, field)) for field in _COCO.values()),
                format_share(each.pixels),
                format_share(each.macs),
                f"{each.windows:.1f}",
                *((_number(each.miss_rate),) if has_miss_rate else ()),
            ),
            is_ours=place == 0,
        )
        for place, each in enumerate(evaluation.standings)
    )
    note = (
        "AP50: average precision at an overlap of 0.5, with the bootstrap interval over pictures; AP: the mean over "
        "overlaps from 0.5 to 0.95; sizes as COCO has them. Pixels and multiply-adds are shares of those of the fine "
        "detector on whole pictures, the coarse pass included and overlapping windows counted each time. Random "
        "places are those of the same windows; entropy, true gain (the bound) and fixed windows (those that earned "
        "most where R-net learned) read at most as many pixels."
    )
    return Section("Test pictures", (Table((*columns, *(("MR-2",) if has_miss_rate else ())), rows, note),))


def _curve(evaluation: Evaluation) -> Section:
    curve = evaluation.curve
    plain = next(point.cost for point in curve.plain if point.name == "fine alone")

    rows = tuple(
        Row(
            (
                format_number(point.knob),
                _number(point.worth),
                format_interval(point.low, point.high),
                _number((point.also or {}).get("AP")),
                format_share(point.cost / plain),
                _number(random.worth),
            )
        )
        for point, random in zip(curve.routed, curve.random, strict=True)
    )
    caption = (
        "Average precision at an overlap of 0.5 against the pixels read. Random: the same windows at random places. "
        "Squares: the same fixed windows in every picture. Star: windows chosen by true gain."
    )
    replaced = evaluation.replaced_rungs
    told = (
        f"At {replaced} prices the Q-net read more than at a lower one on the calibration pictures; the plans of the "
        "lower one are taken there, so that pixels fall.",
    )
    draw = partial(_draw_curve, evaluation, plain)
    return Section(
        "Average precision and pixels over the price",
        (
            Plot(draw, caption),
            Table(("price", "AP50", "95 %", "AP", "pixels", "random places, AP50"), rows),
            *([Findings(told)] if replaced else []),
        ),
    )


def _draw_curve(evaluation: Evaluation, plain_cost: float, width_in: float) -> Figure:
    return draw_curve(
        evaluation.curve,
        calibrated=evaluation.calibrated,
        plain_cost=plain_cost,
        width_in=width_in,
        measure="average precision at an overlap of 0.5",
    )


def _gains(evaluation: Evaluation) -> list[Section]:
    gains = evaluation.gains
    if gains is None:
        return []
    shown: dict[str, float] = {
        "variance explained (R2)": gains.r2,
        "correlation": gains.correlation,
        "rank correlation": gains.rank_correlation,
        "rank correlation of entropy": gains.entropy_rank_correlation,
        "true gain that lies in proposals": gains.reach,
    }
    rows = tuple(Row((name, f"{value:.3f}")) for name, value in shown.items())
    return [Section("R-net's gains beside true ones", (Table(("on test pictures", "value"), rows),))]


def _clock(evaluation: Evaluation) -> list[Section]:
    clock = evaluation.clock
    if clock is None:
        return []
    shown = {
        "reading the picture": clock.decoding,
        "fine detector, whole picture": clock.fine,
        "zooming": clock.zoom,
        "its coarse pass": clock.coarse,
        "its gains and plan": clock.planning,
        "its windows": clock.windows,
        "its merging": clock.merging,
    }
    rows = tuple(Row((name, f"{value:.1f}")) for name, value in shown.items())
    note = (
        f"Medians of {clock.pictures} test pictures, one at a time, {clock.threads} thread(s). With reading the "
        f"picture in both, zooming takes {format_share(clock.share)} of the time."
    )
    return [Section("Time", (Table(("milliseconds of a picture", "median"), rows, note),))]


def _returns(evaluation: Evaluation) -> list[Section]:
    if not evaluation.returns:
        return []
    rows = tuple(
        Row(
            (
                f"{each.price:g}",
                f"{each.learned:.3f}",
                f"{each.greedy:.3f}",
                format_percent(_ratio(each.learned, each.greedy)),
            )
        )
        for each in evaluation.returns
    )
    note = "True gain less the price of the pixels, the mean over test pictures; greedy takes the most gain per pixel."
    return [Section("Q-net against the greedy policy", (Table(("price", "Q-net", "greedy", "share"), rows, note),))]


def _examples(evaluation: Evaluation) -> list[Section]:
    groups = {"Where zooming paid most": evaluation.paid_most, "Where zooming paid least": evaluation.paid_least}
    note = "Left what the coarse pass found, right what zooming found: detections from a score of 0.3, windows in blue."
    return [Section(title, (Note(note), *map(_strip, shown))) for title, shown in groups.items() if shown]


def _strip(example: Example) -> Strip:
    caption = f"{example.gain:+.3f} AP50 of this picture at {format_share(example.pixels)} of its pixels"
    return Strip(example.name, (Picture(example.coarse, "coarse pass"), Picture(example.zoomed, caption)))


def _kept(own: Standing, fine: Standing | None) -> float | None:
    return _ratio(own.figures.ap50, None if fine is None else fine.figures.ap50)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"
