"""The report on a searched graph: size beside error, the Pareto front, the graph as picture and formula, the search."""

from collections.abc import Sequence
from dataclasses import asdict

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from modicum.graphs.drawing import draw_graph, to_networkx
from modicum.graphs.results import Evaluation, FrontPoint, Method, Step
from modicum.graphs.survey import Survey
from modicum.reporting.plots.drawing import BLUE, CYCLE, INK, MARKERS, MUTED, STYLE, is_narrow, new_figure
from modicum.reporting.report import Picture, Plot, Report, Row, Section, Strip, Table
from modicum.storage.counting import counted

_DRAWN_FACTOR = 3.0  # complexities in the plot of the front at least, as a multiple of the graph's


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a search: size beside error, the front, the graph as picture and formula, the restarts."""
    sections = [_methods(evaluation), _front(evaluation), _picture_of_graph(evaluation), _formula(evaluation)]
    if evaluation.steps:
        sections.append(_search(evaluation))
    if evaluation.pictures is not None:
        sections.append(_pictures(evaluation))
    if evaluation.notes:
        rows = tuple(Row((note,)) for note in evaluation.notes)
        sections.append(Section("What became of the data", (Table(("note",), rows),)))
    return Report(
        evaluation.system,
        _headline(evaluation),
        _data_line(evaluation),
        tuple(sections),
        evaluation.to_json(),
    )


def _headline(evaluation: Evaluation) -> str:
    graph, *others = evaluation.methods
    kind = "cross-entropy" if evaluation.encoding.classes else "error"
    article = "a" if evaluation.encoding.classes else "an"
    size = counted(graph.parameters or 0, "parameter")
    text = f"{size} with {article} {kind} of {graph.errors[evaluation.judged_on]:.4g}"
    if evaluation.holds is not None:
        text += f", which {'keeps' if evaluation.holds else 'does not keep'} the bound of {evaluation.max_error:g}"
    if evaluation.max_error is not None and graph.errors["test"] > evaluation.max_error and evaluation.holds:
        text += f" (on the test points it is {graph.errors['test']:.4g})"
    layered = next((method for method in others if method.name == "smallest layered network"), None)
    if layered is None or not layered.parameters or graph.parameters is None or not evaluation.holds:
        return f"{text}."
    saved = 1 - graph.parameters / layered.parameters
    share = f"{abs(saved):.0%} {'fewer' if saved >= 0 else 'more'}"
    return f"{text}: {share} than the {layered.parameters} of the smallest layered network that was found."


def _data_line(evaluation: Evaluation) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in evaluation.num_points.items())
    return f"{evaluation.data}: {counts} points; {evaluation.bound}"


def _methods(evaluation: Evaluation) -> Section:
    parts = list(evaluation.num_points)
    kind = "cross-entropy" if evaluation.encoding.classes else "error"
    accuracies = [f"accuracy, {part}" for part in parts] if evaluation.encoding.classes else []
    rows = tuple(_method_row(method, parts, is_ours=place == 0) for place, method in enumerate(evaluation.methods))
    measure = (
        "Cross-entropy in nats."
        if evaluation.encoding.classes
        else "Errors are root mean squares in units of the target."
    )
    notes = [
        f"{measure} Parameters are weights and biases. CPU seconds are of one run each, beside whatever else ran.",
        *(f"{method.name}: {method.note}." for method in evaluation.methods if method.note),
        *evaluation.missing,
    ]
    columns = ("method", "parameters", *(f"{kind}, {part}" for part in parts), *accuracies, "CPU s")
    return Section("Size and error", (Table(columns, rows, " ".join(notes)),))


def _method_row(method: Method, parts: Sequence[str], *, is_ours: bool) -> Row:
    cells = (
        method.name,
        "" if method.parameters is None else f"{method.parameters:,}",
        *(f"{method.errors[part]:.4g}" for part in parts),
        *(f"{method.accuracies[part]:.1%}" for part in parts if part in method.accuracies),
        "" if method.seconds is None else f"{method.seconds:.1f}",
    )
    return Row(cells, is_ours=is_ours)


def _front(evaluation: Evaluation) -> Section:
    caption = (
        "Line: the least error that the search met at each number of parameters. Marks: the graph and what it is held "
        f"against, on the {evaluation.judged_on} points."
    )
    return Section("Complexity against error", (Plot(lambda width: _draw_front(evaluation, width), caption),))


def _draw_front(evaluation: Evaluation, width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        figure = new_figure(width_in, 2.8 if is_narrow(width_in) else 3.2)
        axes = figure.subplots()
        graph, *others = evaluation.methods
        widest = max((m.parameters or 0 for m in others if "layered network" in m.name), default=0)
        most = max(_DRAWN_FACTOR * (graph.parameters or 1), 1.05 * widest)  # its mark within the frame
        axes.plot(*_staircase(evaluation.front, most), color=BLUE, label="graphs met")
        drawn = [m for m in others if m.parameters is not None and 0 < m.parameters <= most]
        for method, colour, marker in zip([graph, *drawn], CYCLE * 3, MARKERS * 3, strict=False):
            parameters, error = method.parameters or 0, method.errors[evaluation.judged_on]
            axes.plot(parameters, error, color=colour, marker=marker, linestyle="none", label=method.name)
        if evaluation.max_error is not None:
            axes.axhline(evaluation.max_error, color=MUTED, linewidth=0.8, linestyle="--", label="bound")
        axes.set(xlabel="parameters", ylabel="error", xlim=(0, most), ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best", fontsize=7.0 if is_narrow(width_in) else 8.0)
        return figure


def _staircase(front: Sequence[FrontPoint], most: float) -> tuple[list[float], list[float]]:
    """Returns the lowest error at any number of parameters up to ``most``, as a staircase."""
    x: list[float] = []
    y: list[float] = []
    for point in front:
        if point.parameters > most:
            break
        x += [point.parameters] * (2 if y else 1)
        y += [y[-1], point.error] if y else [point.error]
    return ([*x, most], [*y, y[-1]]) if y else (x, y)


def _picture_of_graph(evaluation: Evaluation) -> Section:
    graph = evaluation.graph
    note = (
        f"{counted(graph.num_edges, 'connection')}, {counted(graph.num_hidden, 'hidden neuron')} on "
        f"{counted(max(graph.depth - 1, 0), 'level')}, {counted(graph.complexity('macs'), 'multiply-add')} per "
        "evaluation, activations included."
    )
    caption = (
        "Inputs are squares, hidden neurons circles, outputs diamonds. Blue connections have positive weights, red "
        "ones negative; the thicker, the larger the weight, times the spread of the input where it comes from one. "
        + note
    )
    return Section("The graph", (Plot(lambda width: _draw_graph(evaluation, width), caption),))


def _draw_graph(evaluation: Evaluation, width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        figure = new_figure(width_in, 0.62 * width_in)
        axes = figure.subplots()
        encoding = evaluation.encoding
        drawn = to_networkx(evaluation.graph, encoding.features, encoding.outputs, input_scale=evaluation.input_scale)
        draw_graph(axes, drawn)
        return figure


def _formula(evaluation: Evaluation) -> Section:
    rows = tuple(Row(tuple(line.split(" = ", 1))) for line in evaluation.formula)
    note = "Numbers rounded to four digits; modicum export writes all of them, also as C and Python."
    return Section("The formula", (Table(("neuron", "is"), rows, note),))


def _search(evaluation: Evaluation) -> Section:
    caption = "Parameters of the best graph of each restart over its CPU time."
    return Section("The search", (Plot(lambda width: _draw_search(evaluation.steps, width), caption),))


def _draw_search(steps: Sequence[Step], width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        figure = new_figure(width_in, 2.4)
        axes = figure.subplots()
        for restart, colour in zip(sorted({step.restart for step in steps}), CYCLE * 8, strict=False):
            own = [step for step in steps if step.restart == restart]
            seconds, parameters = [step.seconds for step in own], [step.parameters for step in own]
            axes.step(seconds, parameters, where="post", color=colour, label=f"restart {restart + 1}")
        axes.set(xlabel="CPU seconds", ylabel="parameters", ylim=(0, None))
        axes.tick_params(labelcolor=INK)
        axes.legend(loc="best")
        return figure


def _pictures(evaluation: Evaluation) -> Section:
    pictures = evaluation.pictures
    assert pictures is not None
    shown = [Picture(Image.fromarray(pictures.target), "picture")]
    shown.append(
        Picture(
            Image.fromarray(pictures.predicted), f"graph, {counted(evaluation.methods[0].parameters or 0, 'parameter')}"
        )
    )
    if pictures.layered is not None:
        layered = next((m for m in evaluation.methods if "layered network" in m.name), None)
        told = "" if layered is None else counted(layered.parameters or 0, "parameter")
        caption = "layered network" if layered is None else f"{layered.name}, {told}"
        shown.append(Picture(Image.fromarray(pictures.layered), caption))
    return Section("Pictures", (Strip(evaluation.data, tuple(shown)),))


def survey_report(survey: Survey) -> Report:
    """Reports what a check of a table or a picture found."""
    if survey.width_px is None:
        columns: tuple[str, ...] = ("column", "kind", "empty cells", "holds")
        rows = [Row((c.name, c.kind, f"{c.empty:,}", c.holds)) for c in survey.columns]
        headline = f"{counted(survey.rows, 'row')} and {counted(len(survey.columns), 'column')}"
    else:
        columns, rows = ("what", "found"), [Row(("size", f"{survey.width_px}x{survey.rows} px"))]
        headline = f"{survey.name} can be fitted as a function, and its next pixel predicted"
    note = f"To leave out what cannot be used: {survey.hint}" if survey.hint else ""
    section = Section(survey.name, (Table(columns, tuple(rows), note),))
    return Report("graphs", headline, survey.origin, (section,), asdict(survey))
