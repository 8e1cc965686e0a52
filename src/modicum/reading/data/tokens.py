"""Words with their places in the text, in any script.

The default splits as the corpora of published word vectors were split (Penn Treebank): "don't" is "do" and "n't",
"it's" is "it" and "'s", "3.14" and "1,000" stay whole, '' and `` are one quotation mark. Other punctuation stands
alone, hyphens too, so that an answer rarely begins inside a word. Two kinds of scripts give one token per character,
with its vowel signs and accents: those that put no blanks between words (Han, Kana, Bopomofo, Thai, Lao, Khmer,
Burmese, Tibetan, Javanese, Balinese and the scripts of Tai languages), and Hangul, where endings that belong to no
answer follow a name without a blank. For other languages with such endings there are rules that cut all characters.
"""

import re
import unicodedata
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, assert_never, final

from modicum.reading.recipe import TokenizerName
from modicum.storage.errors import MissingExtraError

# Blocks of scripts without spaces between words: all that the first rules knew.
_FIRST_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff"  # Kana, radicals
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"  # Han, half-width Kana
)
_UNSPACED = _FIRST_UNSPACED + (
    "\u0f40-\u0fbc\u1a20-\u1a9f\u1950-\u1974\u1980-\u19df\u1b00-\u1b7f"  # Tibetan, Tai, Balinese
    "\u3105-\u312f\u31a0-\u31bf\ua980-\ua9fe\uaa60-\uaadf"  # Bopomofo, Javanese, more Burmese and Tai
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb\uffa0-\uffdc"  # Hangul
)
_SYLLABLE = "[\u1100-\u115f\ua960-\ua97c]+[\u1160-\u11a7\ud7b0-\ud7c6]*[\u11a8-\u11ff\ud7cb-\ud7fb]*"  # decomposed
_JOINERS = "\u200c\u200d"  # zero-width, inside words of Persian and Indic scripts and inside emoji
_CLITICS = "s|d|m|re|ve|ll"


class Token(NamedTuple):
    """A word or a mark of punctuation; ``text`` is exactly what stands at ``[start, end)`` of the tokenised text."""

    text: str
    start: int  # in Unicode code points
    end: int  # one past the last


class Tokenizer(Protocol):
    """From a text to its tokens: in order, not overlapping, none of them empty, blanks in none of them."""

    def __call__(self, text: str) -> list[Token]:
        """Splits a text into tokens; a text of blanks and control characters has none."""


def tokenize(text: str) -> list[Token]:
    """Splits a text into tokens by the default rules; time grows linearly with the length of any text.

    Example:
        >>> [token.text for token in tokenize("It isn't 3.14, it's the 1973-74 ``war''.")]
        ['It', 'is', "n't", '3.14', ',', 'it', "'s", 'the', '1973', '-', '74', '``', 'war', "''", '.']
    """
    return _found(_pattern(_UNSPACED), text)


def tokenize_as_first(text: str) -> list[Token]:
    """Splits a text by the rules of runs made before Hangul was cut into syllables; alike for most scripts."""
    return _found(_pattern(_FIRST_UNSPACED), text)


def tokenize_characters(text: str) -> list[Token]:
    """Splits a text into one token per character with its marks: every answer begins and ends where tokens do.

    Example:
        >>> [token.text for token in tokenize_characters("evde 3")]
        ['e', 'v', 'd', 'e', '3']
    """
    return _found(_characters(), text)


def split_characters(word: str) -> list[str]:
    """Splits a word by script: each character of an unspaced script with its marks, other letters together.

    Example:
        >>> split_characters("K팝은")
        ['K', '팝', '은']
    """
    return _parts().findall(word)


def tokenizer(name: TokenizerName) -> Tokenizer:
    """Returns the tokenizer of that name.

    Raises:
        MissingExtraError: If it is spaCy's and spaCy is not installed.
    """
    match name:
        case "script":
            return tokenize
        case "characters":
            return tokenize_characters
        case "regex":
            return tokenize_as_first
        case "spacy":
            return SpacyTokenizer()
        case _:
            assert_never(name)


@final
class SpacyTokenizer:
    """spaCy's rules for a language, as several published ports use them; about ten times slower than the default.

    Args:
        language: A code that ``spacy.blank`` knows; no model is needed.

    Raises:
        MissingExtraError: If spaCy is not installed.
    """

    def __init__(self, language: str = "en") -> None:
        self._rules = _blank_pipeline(language).tokenizer

    def __call__(self, text: str) -> list[Token]:
        """Splits a text into tokens; see `Tokenizer`."""
        words = ((word.text, word.idx) for word in self._rules(text) if not word.is_space)
        return [Token(word, start, start + len(word)) for word, start in words]


def _blank_pipeline(language: str) -> Any:  # noqa: ANN401  an optional module
    try:
        spacy = import_module("spacy")
    except ImportError as error:
        raise MissingExtraError("spaCy", "spacy") from error
    return spacy.blank(language)


def _found(pattern: re.Pattern[str], text: str) -> list[Token]:
    return [Token(match.group(), match.start(), match.end()) for match in pattern.finditer(text)]


@cache
def _pattern(unspaced: str) -> re.Pattern[str]:
    """Compiles rules for words and characters of ``unspaced`` scripts at first use: marks take about 0.03 s."""
    marks = f"[{_marks()}{_JOINERS}]"
    letter = rf"[^\W{unspaced}]"
    apostrophe = "['\u2019]"
    ends = rf"(?!{letter})"
    return re.compile(
        rf"""
        \d+(?:[.,]\d+)+                                          # 3.14  1,000.5
        | {letter}+(?:{marks}+{letter}*)*(?!(?<=n){apostrophe}t{ends})  # a word; of don't all but the next line
        | n{apostrophe}t{ends}
        | (?<=\w){apostrophe}(?:{_CLITICS}){ends}                 # 's  're
        | ''|``
        | {_SYLLABLE}
        | [^\s\x00-\x1f\x7f-\x9f]{marks}*                       # punctuation, or a character of an unspaced script
        """,
        re.VERBOSE | re.IGNORECASE,
    )


@cache
def _characters() -> re.Pattern[str]:
    """Compiles a pattern for each character with its marks; decomposed syllables stay whole."""
    return re.compile(rf"{_SYLLABLE}{_any_marks()}|[^\s\x00-\x1f\x7f-\x9f]{_any_marks()}")


@cache
def _parts() -> re.Pattern[str]:
    """Returns what `split_characters` finds; nothing is left out."""
    return re.compile(rf"{_SYLLABLE}{_any_marks()}|[{_UNSPACED}]{_any_marks()}|[^{_UNSPACED}]+")


def _any_marks() -> str:
    return f"[{_marks()}{_JOINERS}]*"


@cache
def _marks() -> str:
    """Returns the combining marks of all scripts as ranges of a character class; Python's word characters lack them."""
    # Beyond these planes and the variation selectors Unicode has none; going through all of it takes 0.2 s.
    marks = {chr(code) for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))}
    marks = {character for character in marks if unicodedata.category(character)[0] == "M"}
    starts = sorted(mark for mark in marks if chr(ord(mark) - 1) not in marks)
    ends = sorted(mark for mark in marks if chr(ord(mark) + 1) not in marks)
    return "".join(f"{start}-{end}" for start, end in zip(starts, ends, strict=True))
