"""Defines the wing of reading comprehension; see `modicum.contract`. Importing this module is instant."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.contract import Examples, Wing
from modicum.destinations import claim_file
from modicum.prediction import Failure
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reporting.runs import ReportedRun, compare_runs
from modicum.storage.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from modicum.reading.asking import Ask
    from modicum.reading.predictor import Predictor, Reply
    from modicum.reading.qanet.network import QANet
    from modicum.reporting.report import Report

log = logging.getLogger(__name__)


class TrainedReader(ReportedRun[QANetRecipe, "QANet"]):
    """A run that answers questions about texts."""

    def predictor(self, *, n_best: int = 1) -> "Predictor":
        """Returns what answers questions about texts.

        Args:
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
        folder, text = self.run.folder, self.run.recipe.text
        network = self._network()
        collator = Words.load_for_weights(folder).collator(text, has_no_answer=network.has_no_answer)
        reader = make_reader(network, collator, text, n_best=n_best)
        return Predictor(reader, tokenizer(text.tokenizer), text, margin=read_margin(folder.weights))

    def evaluate(self) -> "Report":
        """Measures the run on its test questions beside the baselines; keeps the figures in the folder."""
        from modicum.reading.evaluation import evaluate_run
        from modicum.reading.report import evaluation_report
        from modicum.reporting.records import keep_report

        folder, system = self.run.folder, self.run.system.id
        report = evaluation_report(evaluate_run(folder, self._network(), self.run.recipe, system=system))
        keep_report(folder, report)
        return report

    def predict(
        self,
        inputs: Sequence[str | Path] = (),
        *,
        passage: str | Path | None = None,
        question: str | None = None,
        n_best: int = 1,
        out: str | Path | None = None,
        force: bool = False,
    ) -> "Iterator[Reply | Failure]":
        """Answers questions about texts: of one text file, or of files of questions.

        Args:
            inputs: Files of questions as for training (SQuAD's JSON, CSV, Parquet), or of JSON lines with "passage" and
                "question" (and "id"); - for lines from stdin.
            passage: A text file to ask about; without --question, questions are read from standard input, one a line.
            question: What to ask about the passage.
            n_best: Answers to give to each question, the best first.
            out: Also write the answers by the ids of their questions here, as the official scripts read them; of
                answers with one id the first.
            force: Overwrite a file that modicum did not write, or that was changed since.

        Raises:
            RecipeError: If there is nothing to answer, a question without a passage, or ``n_best`` less than 1.
            DataError: If the passage cannot be read.
            OutputError: If a file stands at ``out`` that must not be overwritten.
        """
        from modicum.reading.predictor import CHUNK
        from modicum.storage.counting import counted
        from modicum.storage.files import dump_json
        from modicum.storage.outputs import write_output

        if passage is None and (question is not None or not inputs):
            raise RecipeError(
                "nothing to answer: name files of questions, or a text: --passage FILE --question 'Who ...?'"
            )
        if out is not None:
            read = [
                entry for entry in (*inputs, passage) if entry is not None and not str(entry).lstrip().startswith("{")
            ]
            claim_file(out, inputs=read, force=force)
        tool = self.predictor(n_best=n_best)
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

    def export(self, *, out: str | Path | None = None) -> Path:
        """Writes the network as an ONNX graph of any length with a manifest, checked against PyTorch."""
        from modicum.reading.evaluation import read_margin
        from modicum.reading.preparation import Words

        export, folder, text = self.run.system.export, self.run.folder, self.run.recipe.text
        assert export is not None  # the caller has looked
        network = self._network()
        return export()(
            network,
            out or folder.path / "export",
            collator=Words.load_for_weights(folder).collator(text, has_no_answer=network.has_no_answer),
            text=text,
            margin=read_margin(folder.weights),
        )

    def _network(self) -> "QANet":
        from modicum.training.devices import inference_device

        return self.run.network().to(inference_device(self.run.recipe.trainer.accelerator))


def survey(
    source: str,
    *,
    strict: bool = False,
    preview: str | Path | None = None,
    vectors: str | Path | None = None,
) -> "Report":
    """Checks a set of questions: faults, sizes, how well tokens fit the answers, how it would be split.

    Args:
        source: The set, as for training.
        strict: Fail if a question cannot be used.
        preview: Write some questions with their answers, as text, here.
        vectors: A file of word vectors: how many of the passages' words it has.
    """
    from modicum.reading import survey as surveying
    from modicum.reading.preview import write_preview
    from modicum.reading.report import survey_report

    report = survey_report(surveying.survey(source, strict=strict, vectors=vectors))
    if preview is not None:
        write_preview(source, preview)
    return report


def examples(_: Path) -> Examples:
    """Returns a question, one about a text without words, and another question."""
    from modicum.reading.asking import Ask

    passage = "the colour of Bako is light blue . 1868 is the year of Miru ."
    return Examples(
        Ask(passage, "what is the year of Miru ?", "first"),
        Ask("\x00 ", "what ?", "second"),
        Ask(passage, "what is the colour of Bako ?", "third"),
    )


def _asks(inputs: Iterable[str | Path], passage: str | Path | None, question: str | None) -> "Iterator[Ask | Failure]":
    """Yields all questions as they are read: about the passage first, then those of files and lines."""
    from modicum.reading.asking import Ask, asks_of, read_passage

    if passage is not None:
        text = read_passage(passage)
        for number, asked in enumerate([question] if question is not None else _typed_questions()):
            yield Ask(text, asked, f"question {number + 1}")
    yield from asks_of(inputs)


def _typed_questions() -> Iterator[str]:
    """Yields questions from standard input, one per line; in a terminal, prompts until an empty line."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    from rich.console import Console

    console = Console(stderr=True)
    while asked := _typed(console).strip():
        yield asked


def _typed(console: "Console") -> str:
    try:
        return console.input("question (empty to end): ")
    except EOFError:
        return ""


READING = Wing("reading", TrainedReader, compare_runs, survey, examples)
