"""The report on a reader: scores beside the baselines', by kind of question, how sure it is, and what it attends to."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import matplotlib as mpl
from matplotlib.figure import Figure

from modicum.reading.breakdowns import Group
from modicum.reading.calibration import Reliability
from modicum.reading.data.alignment import AlignmentReport
from modicum.reading.normalisation import Rules
from modicum.reading.results import Abstention, Attended, Evaluation, Example, Method
from modicum.reading.survey import Lengths, Survey
from modicum.reporting.plots.drawing import BLUE, MUTED, STYLE, is_narrow, new_figure, show_percent
from modicum.reporting.report import Note, Plot, Report, Row, Section, Table
from modicum.storage.counting import counted

_ENOUGH = 97.0  # per cent of answers that tokens can reach; SQuAD's are 99.99
_LONG = 160  # characters of a question or an answer that a table shows
_DRAWN = 3  # examples of each kind whose attention is drawn
_LEAST_ROW_IN = 0.17  # height that a word needs
_SENTENCE = 400  # characters of a passage beside a plot


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a reader: scores beside the baselines', by kind of question, calibration, and attention."""
    groups = evaluation.groups
    sections = [
        _methods(evaluation),
        *_abstention(evaluation.abstention),
        _groups("By length of the answer", "tokens of the shortest gold answer", groups.answer_length),
        _groups("By what is asked for", "question word", groups.question_word),
        _groups("By length of the passage", "tokens", groups.passage_length),
        _reliability(evaluation.reliability),
        *_examples("Answered well", evaluation.right),
        *_examples("Answered badly", evaluation.wrong),
    ]
    return Report(
        evaluation.system, _headline(evaluation), _data_line(evaluation), tuple(sections), evaluation.to_json()
    )


def _headline(evaluation: Evaluation) -> str:
    network, *others = evaluation.methods
    questions = evaluation.scores.overall.total
    asked = counted(questions, "test question")
    text = f"F1 {network.figures.f1:.1f} % and exact match {network.figures.exact:.1f} % on {asked}"
    if not others:
        return f"{text}."
    best = max(others, key=lambda method: method.figures.f1)
    return f"{text}; the best of the others, {best.name}, {best.figures.f1:.1f} % and {best.figures.exact:.1f} %."


def _data_line(evaluation: Evaluation) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in evaluation.num_questions.items())
    rules = "" if evaluation.rules is Rules.OFFICIAL else f", {evaluation.rules.value}"
    return f"{evaluation.data}: {counts} questions; scored by the rules of SQuAD {evaluation.version}{rules}"


def _methods(evaluation: Evaluation) -> Section:
    rows = tuple(_method_row(method, is_ours=place == 0) for place, method in enumerate(evaluation.methods))
    notes = [
        "Exact match and F1 of words against the best of the annotated answers, means over all test questions, in per "
        "cent. Parameters are trained ones, without fixed word vectors. Speed is that of one run on this machine.",
        *(f"{method.name}: {method.note}." for method in evaluation.methods if method.note),
    ]
    columns = ("method", "exact match", "F1", "parameters", "questions/s")
    return Section("Answers to the test questions", (Table(columns, rows, " ".join(notes)),))


def _method_row(method: Method, *, is_ours: bool) -> Row:
    cells = (
        method.name,
        f"{method.figures.exact:.1f}",
        f"{method.figures.f1:.1f}",
        f"{method.parameters:,}" if method.parameters is not None else "",
        f"{method.questions_per_second:,.0f}" if method.questions_per_second is not None else "",
    )
    return Row(cells, is_ours=is_ours)


def _abstention(abstention: Abstention | None) -> list[Section]:
    if abstention is None:
        return []
    parts = {"with an answer": abstention.has_answer, "without an answer": abstention.no_answer}
    rows = tuple(
        Row((name, f"{figures.total:,}", f"{figures.exact:.1f}", f"{figures.f1:.1f}"), is_ours=True)
        for name, figures in parts.items()
        if figures is not None
    )
    best = (
        ""
        if abstention.best_f1 is None
        else f" The best margin for the test questions had F1 {abstention.best_f1:.1f}."
    )
    note = (
        f"An answer is given where it beats “no answer” by {abstention.margin:.2f} in log probability, a margin that "
        f"was chosen on the calibration questions.{best}"
    )
    columns = ("questions", "number", "exact match", "F1")
    return [Section("Questions without an answer", (Table(columns, rows, note),))]


def _groups(title: str, what: str, groups: Sequence[Group]) -> Section:
    rows = tuple(
        Row(
            (group.name, f"{group.figures.total:,}", f"{group.figures.exact:.1f}", f"{group.figures.f1:.1f}"),
            is_ours=True,
        )
        for group in groups
    )
    return Section(title, (Table((what, "questions", "exact match", "F1"), rows),))


def _reliability(reliability: Reliability) -> Section:
    note = (
        f"On average, probability and accuracy are {100 * reliability.expected_error:.1f} percentage points apart "
        "(expected calibration error)."
    )
    caption = (
        "Share of exact answers over the network's probability; on the line, both agree. The size of a mark is its "
        "number of answers."
    )
    return Section("Calibration", (Plot(lambda width: _draw_reliability(reliability, width), caption), Note(note)))


def _draw_reliability(reliability: Reliability, width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        figure = new_figure(width_in, 3.0)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        most = max(each.total for each in reliability.bins)
        sizes = [12 + 100 * each.total / most for each in reliability.bins]
        axes.plot(
            [each.probability for each in reliability.bins], [each.exact for each in reliability.bins], color=BLUE
        )
        axes.scatter(
            [each.probability for each in reliability.bins], [each.exact for each in reliability.bins], sizes, BLUE
        )
        axes.set(xlabel="probability of the answer", ylabel="exact match", xlim=(0, 1), ylim=(0, 1.02))
        show_percent(axes.xaxis)
        show_percent(axes.yaxis)
        return figure


def _examples(title: str, examples: Sequence[Example]) -> list[Section]:
    if not examples:
        return []
    rows = tuple(
        Row(
            (
                _shortened(example.question),
                _shortened(_answers(example.golds)),
                _shortened(example.answer) or "no answer",
                f"{100 * example.probability:.0f} %",
                f"{100 * example.f1:.0f}",
            )
        )
        for example in examples
    )
    columns = ("question", "gold answers", "answer", "probability", "F1")
    return [Section(title, (Table(columns, rows),)), *(_attention(example) for example in examples[:_DRAWN])]


def _attention(example: Example) -> Section:
    answer = f"“{example.answer}”" if example.answer else "no answer"
    sentence = _shortened(example.sentence, _SENTENCE)
    note = f"Answer: {answer}; correct: {_shortened(_answers(example.golds))}. {sentence}"
    caption = (
        "Attention of each word of the passage around the answer (rows) to the question (columns): the darker, the "
        "more."
    )
    plot = Plot(lambda width: _draw_attention(example.attended, width), caption)
    return Section(_shortened(example.question), (plot, Note(note)))


def _draw_attention(attended: Attended, width_in: float) -> Figure:
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        size = 6.5 if is_narrow(width_in) else 8
        figure = new_figure(width_in, 1.1 + _LEAST_ROW_IN * len(attended.passage))
        axes = figure.subplots()
        axes.imshow(attended.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(attended.question)), attended.question, rotation=60, ha="right", fontsize=size)
        axes.set_yticks(range(len(attended.passage)), attended.passage, fontsize=size)
        axes.tick_params(length=0)
        return figure


def survey_report(survey: Survey) -> Report:
    """Reports what a check of a set of questions found."""
    rows = [
        ("passages", f"{survey.passages:,}"),
        ("questions", f"{survey.questions:,}"),
        ("of them without an answer", f"{survey.impossible:,}"),
        ("tokens of a passage", _lengths(survey.passage_lengths)),
        ("tokens of a question", _lengths(survey.question_lengths)),
        *([] if survey.coverage is None else [("words of the passages", str(survey.coverage))]),
        *((f"{part} questions, by default", f"{count:,}") for part, count in survey.splits.items()),
        *((f"left out of the training: {reason}", f"{count:,}") for reason, count in survey.left_out.items()),
        *(("faults", line) for line in survey.problems),
    ]
    section = Section(survey.name, (Table(("what", "found"), tuple(Row(row) for row in rows)),))
    sections = [section, *([] if survey.alignment is None else [_alignment(survey.alignment)])]
    return Report("reading", _verdict(survey), survey.origin, tuple(sections), asdict(survey))


def _verdict(survey: Survey) -> str:
    """Tells whether the set can be used, and what no reader of its tokens can exceed."""
    faults = counted(len(survey.problems), "kind of fault", "kinds of faults")
    text = f"{counted(survey.questions, 'question')} of {survey.origin} can be used, {faults}"
    if survey.alignment is None:
        return f"{text}; none has an answer, so that nothing can be learnt"
    reached = survey.alignment.oracle_em
    text = f"{text}; tokens let at most {_floored(reached)} % of the answers be found exactly"
    if reached >= _ENOUGH or survey.tokenizer == "characters":
        return text
    return f"{text}, the others end inside words: train with --text.tokenizer characters"


def _floored(percent: float) -> str:
    """Formats a percentage, rounded down, so that 100 means exactly 100."""
    return f"{math.floor(10 * percent) / 10:.1f}"


def _alignment(report: AlignmentReport) -> Section:
    rows = (
        ("answers that begin and end where tokens do", f"{100 * report.exact / report.answers:.2f} %"),
        ("answers whose tokens are the same to the metric", f"{100 * report.same / report.answers:.2f} %"),
        ("exact match that no reader of these tokens exceeds", f"{report.oracle_em:.2f} %"),
        ("F1 that no reader of these tokens exceeds", f"{report.oracle_f1:.2f} %"),
        *((f"e.g. {_shortened(answer)!r}", f"covered by {_shortened(cover)!r}") for answer, cover in report.examples),
    )
    return Section("Answers and tokens", (Table(("what", "found"), tuple(Row(row) for row in rows)),))


def _lengths(lengths: Lengths) -> str:
    return f"{lengths.mean:.1f} on average, 95 % up to {lengths.p95:,}, longest {lengths.longest:,}"


def _answers(golds: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(golds)) or "none"


def _shortened(text: str, limit: int = _LONG) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
