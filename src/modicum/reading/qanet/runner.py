"""Answers questions with an exported QANet, with numpy and ONNX Runtime alone: the reference for ports.

The graph takes a batch over the table of its distinct words and gives logits; words and their vectors lie beside it.
Text is cut, and spans are found, as `modicum.reading.predictor` does it.
"""

# B windows of passages with a question, L passage words, M question words, V distinct words
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modicum.exporting.manifest import read_manifest
from modicum.exporting.sessions import GraphRunner
from modicum.reading.data.arrays import Arrays, make_arrays
from modicum.reading.data.corpus import Passage, Question
from modicum.reading.data.examples import Example, question_words, tokenise
from modicum.reading.data.tokens import tokenizer
from modicum.reading.data.vector_storage import load_vectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.data.windows import windows
from modicum.reading.recipe import TextOptions

SYSTEM = "qanet"
DETAILS = ("has_no_answer", "margin", "text")  # of the manifest
WORDS = "words"  # folder of vocabulary and vectors
INPUT_NAMES = Arrays._fields
OUTPUT_NAMES = ("start", "end")
BATCH = 16  # windows of a long passage that are run together


class OnnxAnswer(NamedTuple):
    """A piece of the passage."""

    text: str  # empty for "no answer"
    start: int | None  # its first character, in Unicode code points; None for "no answer"
    end: int | None  # one past its last character
    probability: float  # of what is answered, in [0, 1]


class _Best(NamedTuple):
    """The best span of a window."""

    first: int  # word of the window
    last: int  # included
    score: float  # sum of two logits: comparable between windows


class OnnxQANet:
    """An exported QANet.

    Args:
        folder: What `modicum.reading.qanet.export.export_qanet` wrote.
        threads: Threads within an operator; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ExportError: If the folder is no such export, is of a newer version, or was changed.
        DataError: If the words beside the graph are missing or damaged.
        MissingExtraError: If ONNX Runtime or the training's tokenizer is not installed.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        manifest = read_manifest(folder, system=SYSTEM, needed=DETAILS)
        self.text = TextOptions(**manifest.details["text"])
        self.has_no_answer: bool = manifest.details["has_no_answer"]
        self.margin: float = manifest.details["margin"]
        self.vocabulary = Vocabulary.load(Path(folder, WORDS, "vocabulary.json"))
        self.vectors = load_vectors(Path(folder, WORDS))
        self._tokenizer = tokenizer(self.text.tokenizer)
        self._graph = GraphRunner(Path(folder), manifest.graphs["reader"], threads=threads)

    def run(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns logits of start and end, (B, L), or (B, L + 1) with "no answer" first; -1e30 at padding."""
        inputs: tuple[Any, ...] = arrays
        logits = self._graph(*inputs)
        return logits["start"], logits["end"]

    def logits_of(self, examples: Sequence[Example]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns logits as `run` does, for at least one window of a passage with its question."""
        return self.run(make_arrays(examples, self.vocabulary, self.vectors, self.text.word_characters))

    def answer(self, passage: str, question: str) -> OnnxAnswer:
        """Answers a question about a text of any length.

        Windows are compared by sums of logits, as each is normalised on its own; probabilities are over all windows.

        Raises:
            ValueError: If the passage or the question has no words.
        """
        examples = self._examples(passage, question)
        best, normalisers, none = [], [], []
        for place in range(0, len(examples), BATCH):
            for start, end in zip(*self.logits_of(examples[place : place + BATCH]), strict=True):
                normalisers.append(_log_sum(start) + _log_sum(end))
                none.append(float(start[0] + end[0]) if self.has_no_answer else -np.inf)
                first = int(self.has_no_answer)
                best.append(best_span(start[first:], end[first:], self.text.answer_tokens))
        window = max(range(len(best)), key=lambda number: best[number].score)
        total, score, least = _log_sum(np.array(normalisers)), best[window].score, min(none)
        if score - least <= self.margin and self.has_no_answer:
            return OnnxAnswer("", None, None, _probability(least - total))
        tokens = examples[window].passage.tokens[examples[window].window.start :]
        begin, stop = tokens[best[window].first].start, tokens[best[window].last].end
        return OnnxAnswer(passage[begin:stop], begin, stop, _probability(score - total))

    def _examples(self, passage: str, question: str) -> list[Example]:
        """Makes one example for each window of the passage."""
        read = tokenise(Passage(passage, ()), self._tokenizer)
        asked = question_words(Question("question", question, ()), self._tokenizer)[: self.text.question_tokens]
        pieces = windows(len(read.tokens), self.text.passage_tokens, self.text.stride)
        return [Example("question", read, piece, asked) for piece in pieces]


def best_span(start: NDArray[np.float32], end: NDArray[np.float32], max_answer_tokens: int) -> _Best:
    """Finds the best span for logits (L,) of words alone: for each end the best start in reach, the first of equals."""
    reach = max_answer_tokens - 1
    padded = np.concatenate([np.full(reach, -np.inf, start.dtype), start])
    in_reach = np.lib.stride_tricks.sliding_window_view(padded, max_answer_tokens)  # (L, K): starts before each end
    places = in_reach.argmax(axis=1)
    scores = in_reach[np.arange(len(end)), places] + end
    last = int(scores.argmax())
    return _Best(int(places[last]) + last - reach, last, float(scores[last]))


def _log_sum(values: NDArray[np.float32]) -> float:
    most = float(values.max())
    return most + float(np.log(np.exp(values - most).sum()))


def _probability(log_probability: float) -> float:
    return float(min(np.exp(log_probability), 1.0))  # rounding may leave a little more than 1
