"""What augmentation needs of a paraphraser, translation there and back as one, and a cache that outlives a kill."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol, final

from modicum.storage.errors import DataError
from modicum.storage.files import append_jsonl, read_jsonl


class Translator(Protocol):
    """Translates sentences from one language to another; any object with this method will do, or such a function."""

    def translate(self, sentences: list[str], n_best: int) -> list[list[str]]:
        """Returns up to ``n_best`` translations of each sentence, best first."""


Translate = Callable[[list[str], int], list[list[str]]]
"""A function that does what `Translator.translate` does."""


class Paraphraser(Protocol):
    """Says sentences in other words.

    Attributes:
        source: Where its sentences come from, e.g. the pivot language; mixing tells passages apart by it.
        method: How it makes them, e.g. "back-translation".
        settings: What else its results depend on; a cache keeps results of different settings apart.
    """

    source: str
    method: str
    settings: str

    def paraphrase(self, sentences: Sequence[str]) -> list[list[str]]:
        """Returns distinct paraphrases of each sentence, none equal to it; the list is empty if it knows none."""


@final
class BackTranslator:
    """Paraphrases by translating to a pivot language and back (Yu et al., 2018, section 3).

    Args:
        there: To the pivot language.
        back: From it.
        pivot: The language, e.g. "fr".
        num_pivots: Translations taken of each sentence; each is translated back.
        num_back: Translations back taken of each: there are up to ``num_pivots * num_back`` paraphrases.
        settings: Names the translators' weights, so that a cache tells them apart.
    """

    method = "back-translation"

    def __init__(
        self,
        there: Translator | Translate,
        back: Translator | Translate,
        *,
        pivot: str,
        num_pivots: int = 5,
        num_back: int = 5,
        settings: str = "",
    ) -> None:
        if num_pivots < 1 or num_back < 1:
            raise ValueError(f"num_pivots and num_back must be at least 1, got {num_pivots} and {num_back}")
        self.source, self.settings = pivot, f"{num_pivots} x {num_back} {settings}".strip()
        self._there, self._back = (each if callable(each) else each.translate for each in (there, back))
        self._num_pivots, self._num_back = num_pivots, num_back

    def paraphrase(self, sentences: Sequence[str]) -> list[list[str]]:
        """Paraphrases by translating there and back (see `Paraphraser`); paraphrases of the best pivot come first.

        Raises:
            DataError: If a translator does not return as many lists of translations as there are sentences.
        """
        pivots = _translated(self._there, list(sentences), self._num_pivots)
        backs = iter(_translated(self._back, list(chain.from_iterable(pivots)), self._num_back))
        results = []
        for sentence, found in zip(sentences, pivots, strict=True):
            candidates = chain.from_iterable(next(backs) for _ in found)
            results.append(different(candidates, sentence))
        return results


@final
class CachedParaphraser:
    """Remembers the paraphrases of another paraphraser in a file, so that a job that was stopped goes on.

    Sentences are known by a hash of their text and of the paraphraser's source, method and settings, whatever passage
    they stand in; one file may serve several paraphrasers.

    Args:
        paraphraser: Asked for what is not in the file.
        path: JSON lines, made if missing; each batch is appended when it is done.
        batch_size: Sentences asked for at a time; a kill loses one batch at most.

    Raises:
        DataError: If the file is not such a cache.
    """

    def __init__(self, paraphraser: Paraphraser, path: str | Path, *, batch_size: int = 256) -> None:
        self.source, self.method, self.settings = paraphraser.source, paraphraser.method, paraphraser.settings
        self._paraphraser, self._path, self._batch_size = paraphraser, Path(path), batch_size
        self._known = _read_cache(self._path)

    def paraphrase(self, sentences: Sequence[str]) -> list[list[str]]:
        """Returns cached paraphrases (see `Paraphraser`); each sentence that is not cached is paraphrased once."""
        keys = [self._key(sentence) for sentence in sentences]
        unknown = {key: sentence for key, sentence in zip(keys, sentences, strict=True) if key not in self._known}
        rows = list(unknown.items())
        for start in range(0, len(rows), self._batch_size):
            batch = rows[start : start + self._batch_size]
            results = self._paraphraser.paraphrase([sentence for _, sentence in batch])
            for (key, _), paraphrases in zip(batch, results, strict=True):
                append_jsonl(self._path, {"key": key, "paraphrases": paraphrases})
                self._known[key] = paraphrases
        return [self._known[key] for key in keys]

    def _key(self, sentence: str) -> str:
        parts = "\0".join((self.source, self.method, self.settings, sentence))
        return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def different(candidates: Iterable[str], sentence: str) -> list[str]:
    """Returns the distinct candidates in order, blanks collapsed, without empty ones and the sentence itself."""
    tidy = dict.fromkeys(" ".join(candidate.split()) for candidate in candidates)
    return [candidate for candidate in tidy if candidate and candidate != " ".join(sentence.split())]


def _translated(translate: Translate, sentences: list[str], n_best: int) -> list[list[str]]:
    results = translate(sentences, n_best) if sentences else []
    if len(results) != len(sentences):
        raise DataError(
            f"a translator must give one list for each sentence, but gave {len(results)} for {len(sentences)}: "
            "check what it returns"
        )
    return [list(found[:n_best]) for found in results]


def _read_cache(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        return {}
    try:
        return {row["key"]: list(row["paraphrases"]) for row in read_jsonl(path)}
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is no cache of paraphrases: choose another file, or delete it") from error
