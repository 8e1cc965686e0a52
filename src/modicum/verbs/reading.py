"""The verbs for reading comprehension; see `modicum.verbs`. Importing this module is instant."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modicum.storage import RecipeError
from modicum.systems import get_system, locate
from modicum.verbs.destinations import claim_file
from modicum.verbs.runs import load_for_inference, open_run
from modicum.verbs.sheets import claim_report, compare, figures, write_report

__all__ = ["compare", "data", "evaluate", "export", "figures", "predict", "predictor", "report"]

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from modicum.imaging.files import Failure
    from modicum.reading.asking import Ask
    from modicum.reading.predictor import Predictor, Reply
    from modicum.reporting.report import Sheet


def predictor(run: str | Path, *, n_best: int = 1) -> "Predictor":
    """What answers questions about texts with the network of a run.

    Args:
        run: The run folder.
        n_best: Answers to give to each question, the best first.

    Raises:
        RecipeError: If ``n_best`` is less than 1.
    """
    from modicum.reading.data.tokens import tokenizer
    from modicum.reading.evaluation import read_margin
    from modicum.reading.predictor import Predictor
    from modicum.reading.preparation import Words
    from modicum.reading.readers import make_reader

    if n_best < 1:
        raise RecipeError(f"n_best must be at least 1, got {n_best}")
    folder, recipe = open_run(run)
    network: Any = load_for_inference(folder, recipe)
    collator = Words.load_for_weights(folder).collator(recipe.text, has_no_answer=network.has_no_answer)
    reader = make_reader(network, collator, recipe.text, n_best=n_best)
    return Predictor(reader, tokenizer(recipe.text.tokenizer), recipe.text, margin=read_margin(folder.weights))


def evaluate(run: str | Path) -> "Sheet":
    """Measures a run on its test questions beside the baselines; keeps the figures in the run folder.

    Args:
        run: The run folder.
    """
    from modicum.reading.evaluation import evaluate_run
    from modicum.reading.report import reading_sheet
    from modicum.reporting.report import keep_figures

    folder, recipe = open_run(run)
    system = folder.read_state().system
    sheet = reading_sheet(evaluate_run(folder, load_for_inference(folder, recipe), recipe, system=system))
    keep_figures(folder, sheet)
    return sheet


def predict(
    run: str | Path,
    inputs: Sequence[str | Path] = (),
    *,
    passage: str | Path | None = None,
    question: str | None = None,
    n_best: int = 1,
    out: str | Path | None = None,
    force: bool = False,
) -> Iterator["Reply | Failure"]:
    """Answers questions about texts: of one text file, or of files of questions.

    Args:
        run: The run folder.
        inputs: Files of questions as for training (SQuAD's JSON, CSV, Parquet), or of JSON lines with "passage" and
            "question" (and "id"); - for lines from stdin.
        passage: A text file to ask about; without --question, questions are read from standard input, one a line.
        question: What to ask about the passage.
        n_best: Answers to give to each question, the best first.
        out: Also write the answers by the ids of their questions here, as the official scripts read them; of answers
            with one id the first.
        force: Overwrite a file that modicum did not write, or that was changed since.

    Raises:
        RecipeError: If there is nothing to answer, a question without a passage, or ``n_best`` less than 1.
        DataError: If the passage cannot be read.
        OutputError: If a file stands at ``out`` that must not be overwritten.
    """
    from modicum.imaging.files import Failure
    from modicum.reading.predictor import CHUNK
    from modicum.storage.counting import counted
    from modicum.storage.files import dump_json
    from modicum.storage.outputs import write_output

    if passage is None and (question is not None or not inputs):
        raise RecipeError("nothing to answer: name files of questions, or a text: --passage FILE --question 'Who ...?'")
    if out is not None:
        read = [entry for entry in (*inputs, passage) if entry is not None and not str(entry).lstrip().startswith("{")]
        claim_file(out, inputs=read, force=force)
    tool = predictor(run, n_best=n_best)
    answers: dict[str, str] = {}
    repeated = 0
    is_dialogue = passage is not None and question is None and sys.stdin.isatty()
    for reply in tool.predict_all(_asks(inputs, passage, question), chunk=1 if is_dialogue else CHUNK):
        if not isinstance(reply, Failure):
            repeated += reply.name in answers
            answers.setdefault(reply.name, reply.text)
        yield reply
    if out is not None:
        write_output(out, dump_json(answers, indent=2) + "\n")
        log.info("the answers are in %s", out)
        if repeated:
            log.warning("%s lacks %s whose id had been used before", out, counted(repeated, "answer"))


def report(run: str | Path, *, force: bool = False) -> "Sheet":
    """Evaluates a run and writes its ``report.html``.

    Args:
        run: The run folder.
        force: Overwrite a report that was changed since.
    """
    claim_report(run, force=force)
    return write_report(run, evaluate(run))


def export(run: str | Path, *, out: str | Path | None = None) -> Path:
    """Writes the network of a run as an ONNX graph of any length with a manifest, checked against PyTorch."""
    from modicum.reading.evaluation import read_margin
    from modicum.reading.preparation import Words

    folder, recipe = open_run(run)
    system = get_system(folder.read_state().system)
    assert system.export is not None  # the caller has looked
    network: Any = load_for_inference(folder, recipe)
    exported: Path = locate(system.export)(
        network,
        Path(out) if out else folder.path / "export",
        collator=Words.load_for_weights(folder).collator(recipe.text, has_no_answer=network.has_no_answer),
        text=recipe.text,
        margin=read_margin(folder.weights),
    )
    return exported


def data(
    source: str,
    *,
    strict: bool = False,
    preview: str | Path | None = None,
    vectors: str | Path | None = None,
) -> "Sheet":
    """Checks a set of questions: faults, sizes, how well tokens fit the answers, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if a question cannot be used.
        preview: Write some questions with their answers, as text, here.
        vectors: A file of word vectors: how many of the passages' words it has.
    """
    from modicum.reading.preview import write_preview
    from modicum.reading.report import survey_sheet
    from modicum.reading.survey import survey

    sheet = survey_sheet(survey(source, strict=strict, vectors=vectors))
    if preview is not None:
        write_preview(source, preview)
    return sheet


def _asks(inputs: Iterable[str | Path], passage: str | Path | None, question: str | None) -> Iterator["Ask | Failure"]:
    """All that is asked, as it is read: about the passage first, then what files and lines hold."""
    from modicum.reading.asking import Ask, asks_of, read_passage

    if passage is not None:
        text = read_passage(passage)
        for number, asked in enumerate([question] if question is not None else _typed_questions()):
            yield Ask(text, asked, f"question {number + 1}")
    yield from asks_of(inputs)


def _typed_questions() -> Iterator[str]:
    """Questions from standard input, one a line; in a terminal with a prompt, until an empty one."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    from rich.console import Console

    console = Console(stderr=True)
    while asked := _typed(console).strip():
        yield asked


def _typed(console: Any) -> str:  # noqa: ANN401  rich is imported when it is needed
    try:
        typed: str = console.input("question (empty to end): ")
    except EOFError:
        return ""
    return typed
