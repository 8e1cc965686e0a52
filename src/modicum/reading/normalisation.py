"""The forms in which answers are compared: that of the official SQuAD scripts, and one for what these do not fit.

The official scripts are for English: they delete ASCII punctuation and English articles, and compare what blanks part.
A passage mostly in Latin letters is scored by them, sign for sign. Elsewhere punctuation of every script goes (the
categories P of Unicode), no articles do, and each character of scripts without blanks, and of Hangul, is a word with
its marks: so do the scripts of MLQA (Chinese) and KorQuAD count.
"""

import re
import string
import unicodedata
from enum import Enum
from functools import lru_cache

from modicum.reading.data.tokens import split_characters

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u024f\u0250-\u02af\u1e00-\u1eff\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab6f"
_LATIN_WORD = re.compile(rf"[{_LATIN}]+")
_OTHER_WORD = re.compile(rf"[^\W\d_{_LATIN}]+")


class Rules(Enum):
    """By which rules answers are compared."""

    OFFICIAL = "those of the official SQuAD scripts"
    ANY_SCRIPT = "without punctuation of any script, by characters where words have no blanks"


@lru_cache(maxsize=8)  # the answers about a passage come one after the other
def rules_of(*texts: str) -> Rules:
    """Returns the rules that fit texts: the official ones if at least half of the words are in Latin letters.

    Args:
        *texts: The passage; without one, the answers to compare.
    """
    if all(text.isascii() for text in texts):
        return Rules.OFFICIAL
    latin = sum(len(_LATIN_WORD.findall(text)) for text in texts)
    other = sum(len(split_characters(word)) for text in texts for word in _OTHER_WORD.findall(text))
    return Rules.OFFICIAL if latin >= other else Rules.ANY_SCRIPT


def normalise(answer: str, rules: Rules | None = None) -> str:
    """Returns the normal form in which answers are compared.

    It is in lower case with single spaces. The official rules remove ASCII punctuation (a typographic quote stays),
    then the articles, so that ``a.`` is an article and ``co-op`` becomes ``coop``. The other rules remove all
    punctuation.

    Args:
        answer: The answer.
        rules: Rules of comparison; None for the rules that fit the answer.

    Example:
        >>> normalise('The  "Denver Broncos"!'), normalise("《紅樓夢》。")
        ('denver broncos', '紅樓夢')
    """
    if (rules or rules_of(answer)) is Rules.OFFICIAL:
        return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())
    kept = (character for character in answer.lower().translate(_PUNCTUATION) if not _is_punctuation(character))
    return " ".join("".join(kept).split())


def answer_words(answer: str, rules: Rules | None = None) -> list[str]:
    """Returns the words of the normal form, over which F1 is computed; arguments as of `normalise`.

    Example:
        >>> answer_words("《红楼梦》120 回")
        ['红', '楼', '梦', '120', '回']
    """
    chosen = rules or rules_of(answer)
    words = normalise(answer, chosen).split()
    return words if chosen is Rules.OFFICIAL else [part for word in words for part in split_characters(word)]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
