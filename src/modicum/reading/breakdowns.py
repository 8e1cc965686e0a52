"""Scores by what a question asks, how long its answer is, and how long its passage is."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from modicum.reading.data.corpus import Asked, Corpus
from modicum.reading.data.tokens import Tokenizer, tokenize
from modicum.reading.metrics import Figures, QuestionScore, Scores, figures

QUESTION_WORDS = ("what", "which", "who", "when", "where", "why", "how many", "how", "other")
ANSWER_TOKENS = (1, 2, 3, 5, 10)  # greatest length of each group but the last, which has no limit
PASSAGE_TOKENS = (100, 150, 200, 300, 400)  # the same

_ASKING = {word: word for word in QUESTION_WORDS if word != "other"} | {"whom": "who", "whose": "who"}
_COUNTED = ("many", "much")


@dataclass(frozen=True)
class Group:
    """What the questions of one kind reached.

    Attributes:
        name: Of the kind, as a table shows it.
        figures: Means over its questions.
    """

    name: str
    figures: Figures


@dataclass(frozen=True)
class Breakdown:
    """The same questions grouped in three ways; groups without questions are left out, the others in natural order.

    Attributes:
        question_word: By `question_word`.
        answer_length: By the tokens of the shortest gold answer; "none" for questions without answers.
        passage_length: By the tokens of the passage.
    """

    question_word: tuple[Group, ...]
    answer_length: tuple[Group, ...]
    passage_length: tuple[Group, ...]


def break_down(corpus: Corpus, scores: Scores, tokenizer: Tokenizer = tokenize) -> Breakdown:
    """Groups the scores of a corpus.

    Args:
        corpus: The one that was scored.
        scores: Of its questions.
        tokenizer: What counts lengths.
    """
    scored = {row.id: row for row in scores.questions}
    lengths = {passage.text: len(tokenizer(passage.text)) for passage in corpus.passages}

    def grouped(key: Callable[[Asked], str], names: tuple[str, ...]) -> tuple[Group, ...]:
        rows: dict[str, list[QuestionScore]] = defaultdict(list)
        for asked in corpus.asked():
            if asked.question.id in scored:
                rows[key(asked)].append(scored[asked.question.id])
        return tuple(Group(name, figures(rows[name])) for name in names if name in rows)

    def answer_length(asked: Asked) -> str:
        answers = asked.question.answers
        if not answers:
            return "none"
        return _range_name(min(len(tokenizer(answer.text)) for answer in answers), ANSWER_TOKENS)

    return Breakdown(
        question_word=grouped(lambda asked: question_word(asked.question.text), QUESTION_WORDS),
        answer_length=grouped(answer_length, ("none", *_range_names(ANSWER_TOKENS))),
        passage_length=grouped(
            lambda asked: _range_name(lengths[asked.passage.text], PASSAGE_TOKENS), _range_names(PASSAGE_TOKENS)
        ),
    )


def question_word(question: str) -> str:
    """Returns the question word of an English question: its first word in `QUESTION_WORDS`, else "other".

    Whom and whose count as who, how much as how many.

    Example:
        >>> question_word("In which year did he die?"), question_word("How much does it weigh?")
        ('which', 'how many')
    """
    words = [token.text.lower() for token in tokenize(question)]
    for word, following in zip_longest(words, words[1:]):
        if word == "how" and following in _COUNTED:
            return "how many"
        if word in _ASKING:
            return _ASKING[word]
    return "other"


def _range_names(limits: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(_range_name(length, limits) for length in (*limits, limits[-1] + 1))


def _range_name(length: int, limits: tuple[int, ...]) -> str:
    """Names the group of a length: "1", "4-5", "more than 10"."""
    lower = 1
    for limit in limits:
        if length <= limit:
            return str(limit) if lower == limit else f"{lower}-{limit}"
        lower = limit + 1
    return f"more than {limits[-1]}"
