"""Writes a trained QANet as one ONNX graph that runs without PyTorch, and proves that it answers alike."""

# B windows of passages with a question, L passage words, M question words, V distinct words
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import check_parity
from modicum.exporting.writing import Written, write_export
from modicum.reading.data.batches import Collator
from modicum.reading.data.examples import Example, Tokenised
from modicum.reading.data.tokens import Token
from modicum.reading.data.vector_storage import save_vectors
from modicum.reading.inputs import MASKED
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.runner import INPUT_NAMES, OUTPUT_NAMES, SYSTEM, WORDS, OnnxQANet
from modicum.reading.recipe import TextOptions
from modicum.storage.files import JSON

_PASSAGE, _QUESTION = {0: "batch", 1: "passage_words"}, {0: "batch", 1: "question_words"}
_TABLE = {0: "distinct_words"}
FREE = (_TABLE, _TABLE, _TABLE, _PASSAGE, _QUESTION, _PASSAGE)  # dimensions of any size, in the order of the inputs
LENGTHS = ((1, 1), (23, 9), (7, 3), (40, 2))  # words of the passages and questions that are compared
_UNSEEN = "\u2603unseen"  # a word that no vocabulary has


def export_qanet(
    network: QANet, folder: str | Path, *, collator: Collator, text: TextOptions, margin: float = 0.0
) -> Path:
    """Writes the graph, the words and the manifest that `OnnxQANet` runs, in single precision, and checks them.

    Batch, lengths and the number of distinct words are free. The folder appears when all is written and the graph has
    given what the network gives, to 1e-4, for batches of one and of several, of one word and of more. An earlier export
    in its place is replaced. ``network`` is not changed. Returns the folder.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        collator: Of the training: it has the words.
        text: Of the training: how text is cut.
        margin: Log probability by which an answer must beat "no answer".

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the network cannot be exported, its export answers differently, or the folder holds other files.
    """

    def write(plain: QANet, new: Path) -> Written:
        collator.vocabulary.save(new / WORDS / "vocabulary.json")
        save_vectors(collator.vectors, new / WORDS)
        graph = export_graph(
            plain,
            collator(sample_examples(collator)).inputs,
            new / "qanet.onnx",
            input_names=INPUT_NAMES,
            output_names=OUTPUT_NAMES,
            free=FREE,
        )
        return Written({"reader": graph})

    details: dict[str, JSON] = {"has_no_answer": network.has_no_answer, "margin": margin, "text": asdict(text)}
    check = partial(check_export, collator=collator)
    return write_export(network, folder, details, system=SYSTEM, write=write, check=check, others=[WORDS])


@torch.inference_mode()
def check_export(network: QANet, folder: str | Path, collator: Collator) -> float:
    """Returns the largest logit difference between a network on the CPU and its export; `ExportError` above 1e-4."""
    runner = OnnxQANet(folder, threads=1)
    examples = sample_examples(collator)
    worst = 0.0
    for part in (examples, *([example] for example in examples)):
        wanted = network(*collator(part).inputs)
        found = runner.logits_of(part)
        worst = max(worst, check_parity(_visible([logits.numpy() for logits in wanted]), _visible(found)))
    return worst


def sample_examples(collator: Collator) -> list[Example]:
    """Makes fixed examples of different lengths from the vocabulary's first words and one unknown word."""
    words = [*collator.vocabulary.words[:50], _UNSEEN]
    generator = np.random.default_rng(0)
    examples = []
    for number, lengths in enumerate(LENGTHS):
        passage, question = ([words[row] for row in generator.integers(0, len(words), length)] for length in lengths)
        examples.append(Example(str(number), _tokenised(passage), range(len(passage)), tuple(question)))
    return examples


def _tokenised(words: Sequence[str]) -> Tokenised:
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    tokens = tuple(Token(word, end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True))
    return Tokenised(" ".join(words), tokens)


def _visible(logits: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    """Returns logits by name, with zeros for padding, which would hide any difference, and where padding is."""
    padding = [each == np.float32(MASKED) for each in logits]
    shown = {name: np.where(hidden, 0, each) for name, each, hidden in zip(OUTPUT_NAMES, logits, padding, strict=True)}
    return shown | {f"padding of {name}": hidden for name, hidden in zip(OUTPUT_NAMES, padding, strict=True)}
