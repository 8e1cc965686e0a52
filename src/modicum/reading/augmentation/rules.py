"""Paraphrases of English sentences by rules: no model, no network, thousands of sentences a second.

They change form, not words: contractions, numbers, percentages and dates are written another way, a clause at a comma
changes places with the rest. Words change only by the user's own synonyms.
"""

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, final

from modicum.reading.augmentation.paraphrasing import different

Rule: TypeAlias = Callable[[str, random.Random], str]
"""From a sentence to another way of saying it, or the sentence itself where the rule does not apply."""

_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_NEGATED = ("is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "could", "would", "should", "must")
_FULL_FORMS = {
    "can't": "cannot",
    "won't": "will not",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "i'm": "I am",
    "let's": "let us",
}
_FULL_FORMS |= {f"{verb}n't": f"{verb} not" for verb in _NEGATED}
_FULL_FORMS |= {f"{who}'re": f"{who} are" for who in ("we", "you", "they")}
_FULL_FORMS |= {f"{who}'ve": f"{who} have" for who in ("i", "we", "you", "they")}
_FULL_FORMS |= {f"{who}'ll": f"{who} will" for who in ("i", "we", "you", "they", "he", "she", "it")}
_CONTRACTIONS = {full.lower(): short for short, full in _FULL_FORMS.items() if short not in ("i'm", "let's")}
_CLAUSE_STARTS = (
    "after|although|as|because|before|by|despite|during|for|from|if|in|on|since|though|under|when|while|with"
)
# Names keep their capital when their sentence no longer begins with them; these words lose it.
_DETERMINERS = "the|a|an|this|these|that|those|he|she|it|they|we|its|his|her|their|our|there"
_FUNCTION_WORDS = re.compile(rf"(?:{_CLAUSE_STARTS}|{_DETERMINERS})\b", re.IGNORECASE)
_FRONTED = re.compile(rf"((?:{_CLAUSE_STARTS})\b[^,;:()\"]+), ([^,;:()\"]+?)([.!])", re.IGNORECASE)
_FOLLOWING = re.compile(rf"([^,;:()\"]+), ((?:{_CLAUSE_STARTS})\b[^,;:()\"]+?)([.!])", re.IGNORECASE)


@final
class RuleParaphraser:
    """Paraphrases by rules for English.

    Args:
        num: Paraphrases tried for each sentence; equal ones are given once, so there may be fewer.
        synonyms: Words or phrases, in small letters, with what may stand for them.
        seed: Of the choice of rules; a sentence's paraphrases depend on nothing else.
    """

    source = "rules"
    method = "rules"

    def __init__(self, *, num: int = 5, synonyms: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> None:
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        chosen = {word: tuple(others) for word, others in sorted((synonyms or {}).items())}
        empty = [word for word, others in chosen.items() if not word or not others]
        if empty:
            raise ValueError(f"each synonym needs a word and at least one other, but {empty[0]!r} has none")
        self.settings = f"{num} {seed} {chosen}"
        self._num = num
        self._rules: list[Rule] = [expand, contract, rewrite_numbers, rewrite_dates, move_clause]
        if chosen:
            self._rules.append(_replacing(chosen))

    def paraphrase(self, sentences: Sequence[str]) -> list[list[str]]:
        """Paraphrases each sentence (see `Paraphraser`); the list is empty if no rule applies."""
        return [self._paraphrases(sentence) for sentence in sentences]

    def _paraphrases(self, sentence: str) -> list[str]:
        key = f"{self.settings} {sentence}".encode(errors="surrogatepass")
        rng = random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()))
        return different((self._paraphrase_once(sentence, rng) for _ in range(self._num)), sentence)

    def _paraphrase_once(self, sentence: str, rng: random.Random) -> str:
        for rule in self._rules:
            if rng.random() < 0.5:
                sentence = rule(sentence, rng)
        return sentence


def expand(sentence: str, rng: random.Random) -> str:
    """Writes contractions in full: "isn't" becomes "is not"."""
    return _EXPANDABLE.sub(lambda match: _like(match.group(), _FULL_FORMS[_straight(match.group())]), sentence)


def contract(sentence: str, rng: random.Random) -> str:
    """Contracts full forms: "is not" becomes "isn't"."""
    return _CONTRACTIBLE.sub(lambda match: _like(match.group(), _CONTRACTIONS[match.group().lower()]), sentence)


def rewrite_numbers(sentence: str, rng: random.Random) -> str:
    """Writes small numbers as words or digits, percent as a sign or a word, and long numbers without commas."""
    sign, word = (_PERCENT_SIGN, " percent") if "%" in sentence else (_PERCENT_WORD, "%")
    sentence = _WITH_COMMAS.sub(lambda match: match.group().replace(",", ""), sign.sub(word, sentence))
    if rng.random() < 0.5:
        return _NUMBER_WORD.sub(lambda match: str(_NUMBERS.index(match.group()) + 2), sentence)
    return _SMALL_NUMBER.sub(lambda match: _NUMBERS[int(match.group()) - 2], sentence)


def rewrite_dates(sentence: str, rng: random.Random) -> str:
    """Puts the day before the month or behind it: "May 3, 1990" becomes "3 May 1990", and back."""
    changed = _MONTH_FIRST.sub(r"\2 \1 \3", sentence)
    return changed if changed != sentence else _DAY_FIRST.sub(r"\2 \1, \3", sentence)


def move_clause(sentence: str, rng: random.Random) -> str:
    """Lets the clause before the only comma and what follows it change places, where one of them is adverbial.

    Example:
        >>> move_clause("When it rained, the Normans left.", random.Random(0))
        'The Normans left when it rained.'
        >>> move_clause("The Normans left, because it rained.", random.Random(0))
        'Because it rained, the Normans left.'
    """
    if match := _FRONTED.fullmatch(sentence):
        clause, rest, mark = match.groups()
        return f"{_capital(rest)} {_small(clause)}{mark}"
    if match := _FOLLOWING.fullmatch(sentence):
        rest, clause, mark = match.groups()
        return f"{_capital(clause)}, {_small(rest)}{mark}"
    return sentence


def _replacing(synonyms: Mapping[str, Sequence[str]]) -> Rule:
    pattern = _any_of(synonyms)

    def replace(sentence: str, rng: random.Random) -> str:
        return pattern.sub(lambda match: _like(match.group(), rng.choice(synonyms[match.group().lower()])), sentence)

    return replace


def _any_of(phrases: Mapping[str, object]) -> re.Pattern[str]:
    """Compiles a pattern for whole phrases, longest first; a typographic apostrophe counts as a straight one."""
    longest = sorted(phrases, key=len, reverse=True)
    choices = "|".join(re.escape(phrase).replace("'", "['\u2019]") for phrase in longest)
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE)


def _straight(phrase: str) -> str:
    return phrase.lower().replace("\u2019", "'")


def _like(original: str, replacement: str) -> str:
    return _capital(replacement) if original[0].isupper() else replacement


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    return text[:1].lower() + text[1:] if _FUNCTION_WORDS.match(text) else text


_EXPANDABLE, _CONTRACTIBLE = _any_of(_FULL_FORMS), _any_of(_CONTRACTIONS)
_NUMBER_WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(_NUMBERS)})(?![\w-])")  # in small letters: not the start of a name
_SMALL_NUMBER = re.compile(r"(?<![\w.,:$\u00a3\u20ac/+-])(?:[2-9]|1[0-2])(?![\w.,:%/+-])(?! percent)")
_PERCENT_SIGN, _PERCENT_WORD = re.compile(r"(?<=\d)%"), re.compile(r"(?<=\d) percent\b")
_WITH_COMMAS = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,]|\.\d)")
_MONTH_FIRST = re.compile(rf"\b({_MONTHS}) (\d{{1,2}}), (\d{{4}})\b")
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}}) ({_MONTHS}) (\d{{4}})\b")
