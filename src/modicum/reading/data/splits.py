"""Which articles train, which calibrate, which test: disjoint, repeatable, and never a passage on two sides."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import Splits, draw_shares
from modicum.reading.data.corpus import Corpus
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few

_log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """The parts of a set; no passage is in two of them."""

    train: Corpus  # what readers are fitted on
    calibration: Corpus  # what training is watched, and the threshold for "no answer" chosen, on
    test: Corpus  # what figures are reported on


def divide(given: Mapping[Part, Corpus], *, calibration: float = 0.1, test: float = 0.15, seed: int = 0) -> Parts:
    """Divides the corpora of a data set into three parts.

    Parts that the set has stay as they are; parts that it lacks are drawn from its training part, article by article.
    An article is what has one title; passages without title are one each; articles that share a passage stay together.
    A passage of the training that the set also has in its calibration or test is left out of the training, and likewise
    one of the calibration that is in the test.

    Args:
        given: At least "train"; no question's id occurs twice.
        calibration: Share of the articles of the training that goes to calibration, in (0, 1); at least one article.
        test: As ``calibration``, for test; the two sum to less than 1.
        seed: The same seed and corpora give the same parts.

    Raises:
        DataError: If a part would be empty, or an id occurs twice.
    """
    _check_ids(given)
    corpora = dict(given)
    groups = _articles(given["train"])
    shares: dict[Part, float] = {"test": test, "calibration": calibration}
    drawn = draw_shares(groups, {part: share for part, share in shares.items() if part not in given}, seed)
    for part, articles in drawn.items():
        corpora[part] = _chosen(given["train"], {place for article in articles for place in article})
    parts = Parts(corpora["train"], corpora["calibration"], corpora["test"])
    parts = parts._replace(calibration=_without(parts.calibration, parts.test))
    parts = parts._replace(train=_without(parts.train, parts.calibration, parts.test))
    for name, corpus in zip(PARTS, parts, strict=True):
        if not corpus.num_questions:
            raise DataError(
                f"{counted(len(groups), 'article')}, no question left for {name}: give at least 3 articles with "
                "different titles, or files for each part"
            )
    return parts


def paraphrases_of(augmented: Corpus, train: Corpus) -> Corpus:
    """Returns the augmented questions made from the training part; those of other parts would leak the test.

    Args:
        augmented: Questions with ids ``<old id>#<what made them>``.
        train: The training part.
    """
    ids = {asked.question.id for asked in train.asked()}
    passages = []
    for passage in augmented.passages:
        questions = tuple(question for question in passage.questions if question.id.rpartition("#")[0] in ids)
        if questions:
            passages.append(replace(passage, questions=questions))
    return Corpus(tuple(passages), augmented.version)


def splits_of(parts: Parts) -> Splits:
    """Returns the ids of the questions in each part, to find the same parts again."""
    train, calibration, test = (tuple(asked.question.id for asked in corpus.asked()) for corpus in parts)
    return Splits(train, calibration, test)


def choose(splits: Splits, given: Mapping[Part, Corpus], origin: str) -> Parts:
    """Returns the parts again, whichever corpus their questions stand in; raises `DataError` if some are gone."""
    splits.check({asked.question.id for corpus in given.values() for asked in corpus.asked()}, origin)
    return Parts(*(_asking(given, frozenset(splits.part(part))) for part in PARTS))


def _articles(corpus: Corpus) -> list[list[int]]:
    """Groups the passages that must stay together, by index, in the order in which articles begin."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}  # of titles and texts: a forest with a tree per article

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for passage in corpus.passages:
        if passage.title:
            parent[root(("text", passage.text))] = root(("title", passage.title))
    groups: dict[tuple[str, str], list[int]] = {}
    for place, passage in enumerate(corpus.passages):
        groups.setdefault(root(("text", passage.text)), []).append(place)
    return list(groups.values())


def _chosen(corpus: Corpus, places: Collection[int]) -> Corpus:
    return replace(corpus, passages=tuple(corpus.passages[place] for place in sorted(places)))


def _without(corpus: Corpus, *others: Corpus) -> Corpus:
    texts = {passage.text for other in others for passage in other.passages}
    kept = tuple(passage for passage in corpus.passages if passage.text not in texts)
    if left_out := len(corpus.passages) - len(kept):
        were = "passage was" if left_out == 1 else "passages were"
        _log.warning("%s left out because a later part of the data has the same text", counted(left_out, were, were))
    return replace(corpus, passages=kept)


def _asking(given: Mapping[Part, Corpus], ids: Collection[str]) -> Corpus:
    """Returns the passages with the questions of these ids."""
    passages, versions = [], {"1.1"}
    for corpus in given.values():
        for passage in corpus.passages:
            if questions := tuple(question for question in passage.questions if question.id in ids):
                passages.append(replace(passage, questions=questions))
                versions.add(corpus.version)
    return Corpus(tuple(passages), max(versions))


def _check_ids(given: Mapping[Part, Corpus]) -> None:
    counts = Counter(asked.question.id for corpus in given.values() for asked in corpus.asked())
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise DataError(
            f"{counted(len(repeated), 'question id')} used in several parts of the data, {first_few(repeated)}: each "
            "question needs an id of its own"
        )
