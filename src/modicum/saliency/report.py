"""The report on a saliency network: measures beside the baselines', curves, examples, and what attention attends to."""

# H W size of a picture in px
from collections.abc import Sequence
from dataclasses import asdict

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from modicum.reporting.plots.drawing import CYCLE, STYLE, is_narrow, new_figure
from modicum.reporting.report import Note, Picture, Plot, Report, Row, Section, Strip, Table
from modicum.saliency.results import Evaluation, Example, MethodScores

_DRAWN = 4  # methods in a plot: the network and the best of the others
_COLUMNS = {
    "MAE": "mae",
    "raw MAE": "raw_mae",
    "max F": "max_f",
    "max F per image": "max_f_per_image",
    "adaptive F": "adaptive_f",
    "S": "s_measure",
    "max E": "max_e",
    "mean E": "mean_e",
    "weighted F": "weighted_f",
}


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a saliency run: measures beside the baselines', curves, examples, attention, duplicates."""
    return Report(
        evaluation.system,
        _headline(evaluation),
        _data_line(evaluation),
        (
            _measures(evaluation),
            _curves(evaluation.methods),
            *_examples(evaluation),
            *_attention(evaluation),
            *_care(evaluation),
        ),
        evaluation.to_json(),
    )


def _headline(evaluation: Evaluation) -> str:
    network, *others = evaluation.methods
    text = (
        f"On {evaluation.num_images['test']:,} test images the maps reach a maximal F of {network.figures.max_f:.3f} "
        f"and a mean absolute error of {network.figures.mae:.3f}"
    )
    if not others:
        return f"{text}."
    best = max(others, key=lambda method: method.figures.max_f)
    return f"{text}; the best baseline, {best.name}, {best.figures.max_f:.3f} and {best.figures.mae:.3f}."


def _data_line(evaluation: Evaluation) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in evaluation.num_images.items())
    return f"{evaluation.data}: {counts} images; training and test images are of the same set"


def _measures(evaluation: Evaluation) -> Section:
    rows = tuple(
        Row(
            (
                method.name,
                *(f"{getattr(method.figures, field):.3f}" for field in _COLUMNS.values()),
                f"{method.parameters:,}" if method.parameters is not None else "",
                f"{method.macs / 1e6:,.1f}" if method.macs is not None else "",
            ),
            is_ours=place == 0,
        )
        for place, method in enumerate(evaluation.methods)
    )
    note = (
        "max F: the greatest F (beta squared 0.3) of precision and recall averaged over images, as published tables "
        "have it; max F per image: the greatest mean of the images' own F, 3 to 4 points lower. MAE is taken after "
        "each map is stretched to its full range, raw MAE is not; a black map has a low one, so it says nothing alone. "
        f"Multiply-adds are those of one prediction at {evaluation.image_px} px."
    )
    columns = ("method", *_COLUMNS, "parameters", "M MAC")
    return Section("Measures on the test images", (Table(columns, rows, note),))


def _curves(methods: Sequence[MethodScores]) -> Section:
    network, *others = methods
    best = sorted(others, key=lambda method: -method.figures.max_f)[: _DRAWN - 1]
    caption = "Left: precision against recall. Right: F over the threshold, from 0 to 255. Means over test images."
    plot = Plot(lambda width: _draw_curves([network, *best], width), caption)
    return Section("Precision, recall and F over thresholds", (plot,))


def _draw_curves(methods: Sequence[MethodScores], width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        narrow = is_narrow(width_in)
        figure = new_figure(width_in, 5.6 if narrow else 3.1)
        left, right = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
        for method, colour in zip(methods, CYCLE, strict=False):
            curves = method.curves
            left.plot(curves.recall, curves.precision, color=colour, label=method.name)
            right.plot(range(len(curves.f_measure)), curves.f_measure, color=colour)
        left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
        right.set(xlabel="threshold", ylabel="F", xlim=(0, len(methods[0].curves.f_measure) - 1), ylim=(0, 1))
        left.legend(loc="best")
        return figure


def _examples(evaluation: Evaluation) -> list[Section]:
    groups = {
        "The best maps": evaluation.best,
        "Typical maps": evaluation.typical,
        "The worst maps": evaluation.worst,
    }
    note = "Picture, ground truth, and the network's map; sorted by the structure measure S."
    return [Section(title, (Note(note), *map(_strip, examples))) for title, examples in groups.items() if examples]


def _strip(example: Example) -> Strip:
    score = example.score
    return Strip(
        example.name,
        (
            Picture(Image.fromarray(example.pixels), "picture"),
            Picture(Image.fromarray(example.mask), "truth"),
            Picture(Image.fromarray(example.saliency), f"map: S {score.s_measure:.3f}, MAE {score.mae:.3f}"),
        ),
    )


def _attention(evaluation: Evaluation) -> list[Section]:
    if not evaluation.attention:
        return []
    rows = tuple(
        Row(
            (
                str(mass.level + 1),
                f"{mass.from_object:.3f}",
                f"{mass.from_background:.3f}",
                f"{mass.difference:+.3f}",
                str(mass.images),
            )
        )
        for mass in evaluation.attention
    )
    note = (
        "Share of their attention that positions on objects, and on background, put on objects; deep levels, finer "
        "first. A difference above 0 means that attention treats the two differently, as the paper's abstract says."
    )
    columns = ("deep level", "from objects", "from background", "difference", "images")
    return [Section("What attention attends to", (Table(columns, rows, note),))]


def _care(evaluation: Evaluation) -> list[Section]:
    if evaluation.duplicates is None:
        return []
    rows = tuple(Row(tuple(str(value) for value in asdict(pair).values())) for pair in evaluation.duplicates)
    columns = tuple(name.replace("_", " ") for name in asdict(evaluation.duplicates[0])) if rows else ()
    note = "Images of the training and of the test part that look alike, by a perceptual hash."
    note = note if rows else "No training image looks like a test image."
    return [Section("Duplicates", (Table(columns, rows, note),))]
