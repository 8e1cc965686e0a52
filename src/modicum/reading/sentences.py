"""Sentences with their places in the text: what augmentation paraphrases and baselines choose among."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Sentence(NamedTuple):
    """A sentence; ``text`` is exactly what stands at ``[start, end)`` of the text, without blanks around."""

    text: str
    start: int  # in Unicode code points
    end: int  # one past the last


# Followed by a name, a number or a quotation rather than by the next sentence. "No." and "in." end sentences too often.
_ABBREVIATION = re.compile(
    r"mrs?|ms|dr|prof|rev|hon|gen|col|capt|lt|sgt|maj|adm|gov|sen|rep|pres|st|mt|ft|jr|sr|vs|cf|eds|vol|pp|fig|approx"
    r"|ca|etc|inc|bros|ltd|co|corp|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|(?:[^\W\d_]+\.)*[^\W\d_]",  # J  U.S  e.g  Ph.D
    re.IGNORECASE,
)
_CLOSING = "\"'\u2019\u201d)]\u300d\u300f"
_OPENING = "\"'`\u2018\u201c(["
_CLOSED = f"[{re.escape(_CLOSING)}]*+"
_END = re.compile(  # what it repeats, it never gives back nor begins inside, so that the time is linear in the text
    rf"(?<![.!?\u2026])[.!?\u2026]++{_CLOSED}(?:\[\d+\])*+(?=\s++[{re.escape(_OPENING)}]*+[^\W_])"  # a word must follow
    rf"|[\u3002\uff01\uff1f]++{_CLOSED}"  # of scripts that put no space between sentences
    r"|(?<=\n)[^\S\n]*+(?=\n)"
)
_WORD_BEFORE = re.compile(r"[^\s(\[\"'`\u2018\u201c]+\Z")


def split_sentences(text: str) -> list[Sentence]:
    """Splits a text into sentences, in order; together they hold all that is not blank.

    A sentence ends at a full stop, question or exclamation mark before a blank and a word that does not begin with a
    small letter, unless it ends an abbreviation or an initial; at the full stops of Chinese and Japanese; and at an
    empty line.

    Example:
        >>> [sentence.text for sentence in split_sentences("Dr. J. Doe left. He said: 'No!' It cost 3.5 dollars.")]
        ['Dr. J. Doe left.', "He said: 'No!'", 'It cost 3.5 dollars.']
    """
    ends = [match.end() for match in _END.finditer(text) if _is_end(text, match)]
    return list(_stripped(text, [0, *ends, len(text)]))


def _is_end(text: str, match: re.Match[str]) -> bool:
    if not match.group().strip():
        return True
    if text[match.end() : match.end() + 8].lstrip(f"{_OPENING} \n")[:1].islower():
        return False
    if not match.group().startswith("."):
        return True
    # No abbreviation is longer; looking no further back keeps the time linear in the text.
    word = _WORD_BEFORE.search(text[max(match.start() - 20, 0) : match.start()])
    return word is None or not _ABBREVIATION.fullmatch(word.group())


def _stripped(text: str, bounds: list[int]) -> Iterator[Sentence]:
    for left, right in pairwise(bounds):
        piece = text[left:right]
        start = left + len(piece) - len(piece.lstrip())
        if stripped := piece.strip():
            yield Sentence(stripped, start, start + len(stripped))
