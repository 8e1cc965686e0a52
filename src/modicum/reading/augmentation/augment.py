"""From a corpus to its paraphrase: every sentence in other words, every answer found again or given up.

Yu et al., 2018 (section 3): each sentence of a paragraph is replaced by one of its paraphrases, drawn at random, the
questions stay, and a question whose answer cannot be found again is left out. Here a question with several gold
answers keeps those that were found.
"""

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from modicum.reading.augmentation.paraphrasing import Paraphraser
from modicum.reading.augmentation.pieces import Mark, Piece, join_pieces, split_passage
from modicum.reading.augmentation.realignment import MIN_SCORE, realign
from modicum.reading.augmentation.rearrangement import Rearrangement
from modicum.reading.data.corpus import Corpus, Origin, Passage, Question

_log = logging.getLogger(__name__)

NUM_STRANGERS = 20  # sentences of other passages that may be put into one


@dataclass(frozen=True)
class Losses:
    """What did not come through.

    Attributes:
        unchanged_passages: Passages left out because no sentence of them changed.
        lost_questions: Questions left out of the others because none of their answers was found again.
        lost_answers: Gold answers not found again, those of lost questions included.
    """

    unchanged_passages: int
    lost_questions: int
    lost_answers: int


class Augmented(NamedTuple):
    """The paraphrased passages alone, each with its origin, and what did not come through."""

    corpus: Corpus
    losses: Losses


def augment(
    corpus: Corpus,
    paraphraser: Paraphraser,
    *,
    rearrangement: Rearrangement = Rearrangement(),  # noqa: B008  a frozen value
    min_score: float = MIN_SCORE,
    seed: int = 0,
) -> Augmented:
    """Paraphrases the passages of a corpus; `modicum.reading.data.squad.write_squad` saves the result.

    What is drawn depends on the seed and on each passage alone, not on its place in the corpus. Questions get the id
    ``<old id>#<source>-<seed>``, so that files of several sources and seeds can be joined.

    Args:
        corpus: Only what people wrote is paraphrased: passages that have an origin are passed over.
        paraphraser: Asked once for all sentences; see `CachedParaphraser` for jobs that take hours.
        rearrangement: What else changes.
        min_score: Answers found again with less count as lost; see `realign`.
        seed: Of the drawing.

    Raises:
        ValueError: If an answer does not stand in its passage where it says.
    """
    originals = [passage for passage in corpus.passages if passage.origin is None and passage.questions]
    split = [split_passage(passage) for passage in originals]
    paraphrases = _paraphrases(paraphraser, split)
    counts: Counter[str] = Counter()
    made: list[Passage] = []
    for place, (passage, pieces) in enumerate(zip(originals, split, strict=True)):
        rng = random.Random(_hash(f"{seed} {paraphraser.source} {passage.text}"))
        changed = [_paraphrased(piece, paraphrases[piece.text], min_score, rng) for piece in pieces]
        strangers = _strangers(originals, split, place, rng) if rearrangement.inserted else []
        changed = rearrangement.apply(changed, strangers, rng)
        if [piece.text for piece in changed] == [piece.text for piece in pieces]:
            counts["unchanged_passages"] += 1
        elif (result := _rebuilt(passage, changed, paraphraser, seed, counts)) is not None:
            made.append(result)
    losses = Losses(counts["unchanged_passages"], counts["lost_questions"], counts["lost_answers"])
    _log.info("%s (%s): %d of %d passages; %s", paraphraser.method, paraphraser.source, len(made), len(split), losses)
    return Augmented(Corpus(tuple(made), corpus.version), losses)


def join(corpora: Iterable[Corpus]) -> Corpus:
    """Joins corpora into one; it is of version 2.0 if any of them is.

    Raises:
        ValueError: If there are no corpora, or two questions share an id.
    """
    parts = list(corpora)
    if not parts:
        raise ValueError("there is no corpus to join: give at least one")
    ids = Counter(asked.question.id for part in parts for asked in part.asked())
    repeated = [key for key, count in ids.items() if count > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} question ids occur twice, e.g. {repeated[0]!r}: augment with another seed")
    version = max(part.version for part in parts)
    return Corpus(tuple(passage for part in parts for passage in part.passages), version)


def _paraphrases(paraphraser: Paraphraser, split: Sequence[Sequence[Piece]]) -> dict[str, list[str]]:
    sentences = list(dict.fromkeys(piece.text for pieces in split for piece in pieces))
    return dict(zip(sentences, paraphraser.paraphrase(sentences), strict=True))


def _paraphrased(piece: Piece, candidates: Sequence[str], min_score: float, rng: random.Random) -> Piece:
    """Returns a paraphrase of the piece with the answers found in it, or the piece itself if there is none."""
    if not candidates:
        return piece
    text = rng.choice(candidates)
    marks = (_moved(mark, piece.text, text, min_score) for mark in piece.marks)
    return replace(piece, text=text, marks=tuple(mark for mark in marks if mark is not None))


def _moved(mark: Mark, sentence: str, paraphrase: str, min_score: float) -> Mark | None:
    found = realign(mark.answer, sentence, paraphrase, min_score=min_score)
    return None if found is None else mark._replace(answer=found.answer, score=found.score)


def _rebuilt(
    passage: Passage, pieces: Sequence[Piece], paraphraser: Paraphraser, seed: int, counts: Counter[str]
) -> Passage | None:
    """Rebuilds the passage from changed pieces; returns ``None`` if no question is left."""
    text, found = join_pieces(pieces, passage.questions)
    questions = []
    for question, marks in zip(passage.questions, found, strict=True):
        counts["lost_answers"] += len(question.answers) - len(marks)
        if question.answers and not marks:
            counts["lost_questions"] += 1
        else:
            questions.append(_renamed(question, marks, f"{paraphraser.source}-{seed}"))
    if not questions:
        return None
    scores = [mark.score for marks in found for mark in marks]
    score = min(1.0, sum(scores) / len(scores)) if scores else 1.0
    origin = Origin(paraphraser.source, paraphraser.method, round(score, 4))
    return Passage(text, tuple(questions), passage.title, origin)


def _renamed(question: Question, marks: Sequence[Mark], suffix: str) -> Question:
    return replace(question, id=f"{question.id}#{suffix}", answers=tuple(mark.answer for mark in marks))


def _strangers(
    passages: Sequence[Passage], split: Sequence[Sequence[Piece]], place: int, rng: random.Random
) -> list[str]:
    """Draws sentences from other articles that contain no answer of this passage."""
    answers = {answer.text.lower() for question in passages[place].questions for answer in question.answers}
    found = []
    for _ in range(NUM_STRANGERS):
        other = rng.randrange(len(passages))
        if passages[other].title != passages[place].title or not passages[place].title:
            text = rng.choice(split[other]).text
            if other != place and not any(answer in text.lower() for answer in answers):
                found.append(text)
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())
