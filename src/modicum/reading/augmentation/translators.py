"""Translators by published weights, imported only when one is made: Marian by transformers, the same by CTranslate2.

Nothing is downloaded here unless a model's public name is given instead of a folder. CTranslate2 computes with 8-bit
integers and is several times faster on processors; its converter makes its folders from the same weights, and packages
of Argos Translate hold such folders.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal, final

from modicum.storage.errors import DataError, MissingExtraError

MAX_TOKENS = 512  # what Marian's positions allow
_END = "</s>"


@final
class MarianTranslator:
    """Marian models (OPUS-MT) by transformers.

    Args:
        model: A folder, or a public name such as ``Helsinki-NLP/opus-mt-en-fr``, which is then downloaded.
        device: As torch names it.
        batch_size: Sentences translated at a time.
        prefix: What models for several target languages want before each sentence, e.g. ``>>fra<<``.

    Raises:
        MissingExtraError: If transformers or sentencepiece is not installed.
    """

    def __init__(self, model: str | Path, *, device: str = "cpu", batch_size: int = 32, prefix: str = "") -> None:
        transformers = _import("transformers")
        _import("sentencepiece")
        self._tokenizer = transformers.MarianTokenizer.from_pretrained(str(model))
        network = transformers.MarianMTModel.from_pretrained(str(model), weights_only=True)  # executes nothing
        self._model = network.to(device).eval()
        self._device, self._batch_size, self._prefix = device, batch_size, f"{prefix} " if prefix else ""

    def translate(self, sentences: list[str], n_best: int) -> list[list[str]]:
        """Translates by beam search with ``n_best`` beams (see `Translator`). Sentences are cut after 512 tokens."""
        return _in_batches_of_like_length(sentences, self._batch_size, lambda batch: self._batch(batch, n_best))

    def _batch(self, sentences: list[str], n_best: int) -> list[list[str]]:
        texts = [self._prefix + sentence for sentence in sentences]
        inputs = self._tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=MAX_TOKENS)
        outputs = self._model.generate(
            **inputs.to(self._device), num_beams=n_best, num_return_sequences=n_best, max_length=MAX_TOKENS
        )
        found = self._tokenizer.batch_decode(outputs, skip_special_tokens=True)
        return [found[start : start + n_best] for start in range(0, len(found), n_best)]


@final
class CTranslate2Translator:
    """Converted models by CTranslate2.

    Args:
        folder: Of the converter, with the model's ``source.spm`` and ``target.spm`` (Marian; copied by
            ``--copy_files``), or of a package of Argos Translate, with ``model`` and ``sentencepiece.model``.
        device: "cpu" or "cuda".
        compute_type: How it computes, e.g. "int8" or "float32".
        threads: Of a processor, for each batch; 0 for its default.
        batch_size: Sentences translated at a time.
        prefix: As of `MarianTranslator`.

    Raises:
        MissingExtraError: If ctranslate2 or sentencepiece is not installed.
        DataError: If the folder holds neither form.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: Literal["cpu", "cuda"] = "cpu",
        compute_type: str = "int8",
        threads: int = 0,
        batch_size: int = 32,
        prefix: str = "",
    ) -> None:
        ctranslate2, sentencepiece = _import("ctranslate2"), _import("sentencepiece")
        model, source, target = _parts(Path(folder))
        self._source, self._target = (sentencepiece.SentencePieceProcessor(model_file=str(f)) for f in (source, target))
        self._model = ctranslate2.Translator(
            str(model), device=device, compute_type=compute_type, intra_threads=threads, inter_threads=1
        )
        self._ends = [_END] if source != target else []  # Marian's sentences have an end, Argos's have none
        self._batch_size, self._prefix = batch_size, [prefix] if prefix else []

    def translate(self, sentences: list[str], n_best: int) -> list[list[str]]:
        """Translates by beam search with ``n_best`` beams (see `Translator`). Sentences are cut after 512 tokens."""
        return _in_batches_of_like_length(sentences, self._batch_size, lambda batch: self._batch(batch, n_best))

    def _batch(self, sentences: list[str], n_best: int) -> list[list[str]]:
        room = MAX_TOKENS - len(self._prefix) - len(self._ends)
        pieces = [self._prefix + words[:room] + self._ends for words in self._source.encode(sentences, out_type=str)]
        results = self._model.translate_batch(
            pieces, beam_size=n_best, num_hypotheses=n_best, max_input_length=0, max_decoding_length=MAX_TOKENS
        )
        return [[self._target.decode(words) for words in result.hypotheses] for result in results]


def _in_batches_of_like_length(
    sentences: Sequence[str], batch_size: int, translate: Callable[[list[str]], list[list[str]]]
) -> list[list[str]]:
    """Translates the longest first, so that little padding is computed, and gives the results in the old order."""
    order = sorted(range(len(sentences)), key=lambda place: -len(sentences[place]))
    results: dict[int, list[str]] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        results.update(zip(places, translate([sentences[place] for place in places]), strict=True))
    return [results[place] for place in range(len(sentences))]


def _parts(folder: Path) -> tuple[Path, Path, Path]:
    """Returns the model's folder and the files of its source and target pieces, which are the same file for Argos."""
    marian = (folder, folder / "source.spm", folder / "target.spm")
    argos = (folder / "model", folder / "sentencepiece.model", folder / "sentencepiece.model")
    for model, source, target in (marian, argos):
        if (model / "model.bin").is_file() and source.is_file() and target.is_file():
            return model, source, target
    raise DataError(
        f"{folder} holds no converted model: it needs model.bin, source.spm and target.spm (convert with "
        "ct2-transformers-converter --copy_files source.spm target.spm), or Argos's model/model.bin and "
        "sentencepiece.model"
    )


def _import(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "translate") from error
