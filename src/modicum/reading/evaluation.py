"""What a reader, one with LSTMs that was trained alike, and simple baselines reach on the test questions of a run."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from torch import nn

from modicum.reading.answering import Found, Reader, answer_corpus
from modicum.reading.baselines import answer_all, baselines
from modicum.reading.breakdowns import break_down
from modicum.reading.calibration import Reliability, reliability, tune_no_answer
from modicum.reading.data.corpus import Corpus
from modicum.reading.data.splits import Parts
from modicum.reading.data.tokens import tokenizer
from modicum.reading.illustration import Illustrator, choose_examples
from modicum.reading.logistic_reader import NUM_COLUMNS, fit_logistic_reader
from modicum.reading.lstm_readers import LstmReader, rebuild_lstm_reader
from modicum.reading.matching import WordWeights
from modicum.reading.metrics import Scores, score, score_v2
from modicum.reading.normalisation import rules_of
from modicum.reading.preparation import Words, open_parts
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reading.readers import make_reader
from modicum.reading.recipe import TextOptions
from modicum.reading.results import Abstention, Evaluation, Method
from modicum.storage.counting import counted
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_left

BASELINE = "lstm"  # the stage that trains the reader with LSTMs
LOGISTIC_QUESTIONS = 10_000  # that the logistic regression learns from: about a minute


class Answered(NamedTuple):
    """What a reader made of a corpus."""

    found: Mapping[str, Found]  # by id of the question
    texts: Mapping[str, str]  # the answers; empty for "no answer"
    scores: Scores
    questions_per_second: float


def evaluate_run(run: RunFolder, network: QANet, recipe: QANetRecipe, *, system: str) -> Evaluation:
    """Measures everything a report shows on the test questions of a run.

    Args:
        run: A finished run.
        network: Its network, in evaluation mode, on the device to use.
        recipe: Its recipe.
        system: Id of the system.

    Raises:
        RunError: If the training is not finished.
        DataError: If the questions have changed since the run began.
    """
    run.require_finished()
    parts, source = open_parts(recipe, run)
    text, has_no_answer = recipe.text, network.has_no_answer
    collator = Words.load(run).collator(text, has_no_answer=has_no_answer)
    margin = read_margin(run.weights)
    ours = answer(make_reader(network, collator, text), parts.test, text, margin)
    methods = [_method("network", network, ours)]
    if (lstm := load_baseline(run)) is not None:
        rival = make_reader(lstm.to(next(network.parameters()).device), collator, text)
        theirs = answer(rival, parts.test, text, read_margin(baseline_path(run)))
        methods.append(_method("reader with LSTMs of BiDAF's sizes, trained alike", lstm, theirs))
    illustrator = Illustrator(network, collator, text)
    right, wrong = choose_examples(illustrator, parts.test, ours.found, ours.texts, ours.scores)
    return Evaluation(
        system=system,
        data=source.name,
        version=parts.test.version,
        rules=Counter(rules_of(passage.text) for passage in parts.test.passages).most_common(1)[0][0],
        num_questions={name: corpus.num_questions for name, corpus in parts._asdict().items()},
        methods=(*methods, *_simple_methods(parts, is_trained=recipe.baselines)),
        scores=ours.scores,
        groups=break_down(parts.test, ours.scores, tokenizer(text.tokenizer)),
        reliability=_reliability(ours),
        abstention=_abstention(parts.test, ours, margin) if has_no_answer else None,
        right=right,
        wrong=wrong,
    )


def answer(reader: Reader, corpus: Corpus, text: TextOptions, margin: float) -> Answered:
    """Answers all questions of a corpus and scores the answers by the official rules.

    Args:
        reader: The reader.
        corpus: The questions, at least one.
        text: How text is cut.
        margin: Log probability by which an answer must beat "no answer".
    """
    start = time.perf_counter()
    found = answer_corpus(reader, corpus, text)
    seconds = time.perf_counter() - start
    texts = {name: each.text(margin) for name, each in found.items()}
    return Answered(found, texts, score(corpus, texts), len(found) / seconds)


def tune_margin(reader: Reader, corpus: Corpus, text: TextOptions) -> float:
    """Tunes the log probability by which answers must beat "no answer" for the best F1 on a corpus; it is finite.

    Args:
        reader: One that may say "no answer".
        corpus: Questions other than those that figures are reported on.
        text: How text is cut.
    """
    found = answer_corpus(reader, corpus, text)
    rows = score_v2(corpus, {name: each.candidates[0].text for name, each in found.items()}).questions
    return tune_no_answer(
        [found[row.id].margin for row in rows], [row.f1 for row in rows], [row.has_answer for row in rows]
    ).margin


def read_margin(weights: Path) -> float:
    """Returns the margin stored with a trained reader's weights; 0 for one that always answers."""
    kept = read_header(weights).notes.get("margin")
    return float(kept) if isinstance(kept, int | float) else 0.0


def baseline_path(run: RunFolder) -> Path:
    """Returns where a run keeps the LSTM reader that was trained beside its own network."""
    return run.path / "lstm.safetensors"


def load_baseline(run: RunFolder) -> LstmReader | None:
    """Loads the LSTM reader of a run; returns None if none was trained; see `load_left`."""
    return load_left(run, BASELINE, baseline_path(run), {LstmReader.storage_name: rebuild_lstm_reader})


def _method(name: str, network: nn.Module, answered: Answered) -> Method:
    parameters = sum(weight.numel() for weight in network.parameters())
    return Method(name, answered.scores.overall, parameters, answered.questions_per_second)


def _simple_methods(parts: Parts, *, is_trained: bool) -> Iterator[Method]:
    """Yields the baselines that need no training, and the one that does if ``is_trained``."""
    weights = WordWeights.of(passage.text for passage in parts.train.passages)
    for name, baseline in baselines(weights).items():
        yield Method(name, score(parts.test, answer_all(baseline, parts.test)).overall)
    if is_trained:
        corpus = first_questions(parts.train, LOGISTIC_QUESTIONS)
        answers = answer_all(fit_logistic_reader(corpus), parts.test)
        note = f"trained on {counted(corpus.num_questions, 'question')}"
        yield Method("logistic regression", score(parts.test, answers).overall, NUM_COLUMNS, note=note)


def first_questions(corpus: Corpus, limit: int) -> Corpus:
    """Returns the first passages of a corpus with at most ``limit`` questions in all, but at least one passage."""
    totals = accumulate(len(passage.questions) for passage in corpus.passages)
    count = sum(total <= limit for total in totals)
    return replace(corpus, passages=corpus.passages[: max(count, 1)])


def _reliability(answered: Answered) -> Reliability:
    exact = {row.id: row.exact for row in answered.scores.questions}
    sure = [
        each.candidates[0].probability if answered.texts[name] else each.no_answer or 0.0
        for name, each in answered.found.items()
    ]
    return reliability(sure, [exact[name] for name in answered.found])


def _abstention(corpus: Corpus, answered: Answered, margin: float) -> Abstention:
    """Measures abstention; the best margin for these very questions comes from the official search."""
    best = {name: each.candidates[0].text for name, each in answered.found.items()}
    # The search wants numbers that rise with the wish to say nothing.
    reluctance = {name: -each.margin for name, each in answered.found.items()}
    searched = score_v2(corpus, best, no_answer=reluctance).best_f1
    return Abstention(
        margin,
        answered.scores.has_answer,
        answered.scores.no_answer,
        None if searched is None else searched.score,
    )
