"""How often augmentation finds an answer again in a changed sentence, where the right place is known.

python benchmarks/realignment.py data/squad/dev-v1.1.json.gz

Takes sentences with their answers, deletes words around the answer, inflects words anywhere, moves clauses, and asks
for the answer's span. Last, it replaces every word of the answer by one that shares nothing with it: as a synonym, it
should be rejected, not found elsewhere. `--check` exits with 1 where a target is missed.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from modicum.reading.augmentation.realignment import realign
from modicum.reading.data.corpus import Answer, Corpus
from modicum.reading.data.squad import read_squad
from modicum.reading.data.tokens import tokenize
from modicum.reading.sentences import split_sentences

NUM_SENTENCES = 1066
MIN_EXACT, MAX_REJECTED = 0.99, 0.005
SUFFIXES = ("s", "ed", "ing", "er", "ly")


@dataclass(frozen=True)
class Damage:
    """How much a sentence changes.

    Attributes:
        deleted: Probability that a word outside the answer goes.
        inflected: Probability that a word of four letters or more takes or loses an ending.
        moves: Whether what stands before a comma outside the answer goes behind the rest.
    """

    deleted: float
    inflected: float
    moves: bool


DAMAGES = (Damage(0.05, 0.05, False), Damage(0.10, 0.15, True), Damage(0.20, 0.30, True))


class Marked(NamedTuple):
    """A sentence and the answer in it."""

    sentence: str
    answer: Answer


class Word(NamedTuple):
    """A word of a sentence that is being changed."""

    text: str
    gap: str  # what separates it from the word before
    is_answer: bool


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path, help="Questions in SQuAD's JSON, plain or .gz.")
    parser.add_argument("--seed", type=int, default=0, help="Of the draw of sentences and of their changes.")
    parser.add_argument("--check", action="store_true", help="Exit with 1 where a target is missed.")
    options = parser.parse_args()
    sentences = marked_sentences(read_squad(options.file).corpus, options.seed)
    print(f"{len(sentences)} sentences, seed {options.seed}; targets: exact >= {MIN_EXACT:.1%}, ", end="")
    print(f"rejected <= {MAX_REJECTED:.1%}\n\n| change | exact | elsewhere | rejected | holds |\n" + "| --- " * 5 + "|")
    holds = [_print_row(sentences, damage, options.seed) for damage in DAMAGES]
    _print_synonyms(sentences)
    if options.check and not all(holds):
        sys.exit(1)


def marked_sentences(corpus: Corpus, seed: int) -> list[Marked]:
    """Sentences that hold a first gold answer, each at most once, drawn at random; answers begin and end with words."""
    found: dict[str, Marked] = {}
    for passage in corpus.passages:
        for sentence in split_sentences(passage.text):
            for gold in (question.answers[0] for question in passage.questions if question.answers):
                answer = Answer(gold.text, gold.start - sentence.start)
                if answer.start >= 0 and answer.end <= len(sentence.text) and _is_of_words(sentence.text, answer):
                    found.setdefault(sentence.text, Marked(sentence.text, answer))
    return random.Random(seed).sample(list(found.values()), min(NUM_SENTENCES, len(found)))


def change(marked: Marked, damage: Damage, rng: random.Random) -> Marked:
    """The sentence after deletions, inflections and a move, and where its answer is then."""
    words = [
        _inflected(word, rng) if rng.random() < damage.inflected else word
        for word in _words(marked)
        if word.is_answer or rng.random() >= damage.deleted
    ]
    return _joined(_moved(words, rng) if damage.moves else words)


def replace_answer(marked: Marked) -> Marked:
    """The sentence with each word of its answer replaced by one that shares no two neighbouring characters with it."""
    words = _words(marked)
    return _joined([w._replace(text="qx" * (len(w.text) // 2 + 1)) if w.is_answer else w for w in words])


def _print_row(sentences: Sequence[Marked], damage: Damage, seed: int) -> bool:
    rng = random.Random(seed)
    exact = rejected = 0
    for original in sentences:
        changed = change(original, damage, rng)
        found = realign(original.answer, original.sentence, changed.sentence)
        rejected += found is None
        exact += found is not None and found.answer == changed.answer
    shares = [count / len(sentences) for count in (exact, len(sentences) - exact - rejected, rejected)]
    holds = shares[0] >= MIN_EXACT and shares[2] <= MAX_REJECTED
    name = f"{damage.deleted:.0%} deleted, {damage.inflected:.0%} inflected" + ", clause moved" * damage.moves
    print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + f" | {'yes' if holds else 'no'} |")
    return holds


def _print_synonyms(sentences: Sequence[Marked]) -> None:
    """Some keep their answer though: where it stands in the sentence twice, its other occurrence is found."""
    lost = [realign(each.answer, each.sentence, replace_answer(each).sentence) is None for each in sentences]
    print(f"\nanswers replaced by words unlike them: {sum(lost) / len(lost):.1%} rejected")


def _is_of_words(sentence: str, answer: Answer) -> bool:
    words = tokenize(sentence)
    return answer.start in {word.start for word in words} and answer.end in {word.end for word in words}


def _words(marked: Marked) -> list[Word]:
    tokens, answer = tokenize(marked.sentence), marked.answer
    gaps = (marked.sentence[left.end : right.start] for left, right in pairwise(tokens))
    rows = zip(tokens, ("", *gaps), strict=True)
    return [Word(token.text, gap, answer.start <= token.start < answer.end) for token, gap in rows]


def _inflected(word: Word, rng: random.Random) -> Word:
    if len(word.text) < 4 or not word.text.isalpha():
        return word
    endings = [suffix for suffix in SUFFIXES if word.text.endswith(suffix)]
    return word._replace(text=word.text.removesuffix(endings[0]) if endings else word.text + rng.choice(SUFFIXES))


def _moved(words: list[Word], rng: random.Random) -> list[Word]:
    commas = [place for place, word in enumerate(words) if word.text == "," and not word.is_answer]
    if not commas:
        return words
    place = rng.choice(commas)
    return [*words[place + 1 :], words[place], *words[:place]]


def _joined(words: Sequence[Word]) -> Marked:
    """The sentence of some words; a blank stands where two words would run together."""
    sentence, start, end = "", 0, 0
    for word in words:
        runs_together = bool(sentence) and not word.gap and sentence[-1:].isalnum() and word.text[0].isalnum()
        sentence += " " if runs_together else word.gap
        if word.is_answer and not end:
            start = len(sentence)
        sentence += word.text
        end = len(sentence) if word.is_answer else end
    return Marked(sentence, Answer(sentence[start:end], start))


if __name__ == "__main__":
    main()
