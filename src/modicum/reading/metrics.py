"""Exact match and F1 of answers by the rules of the two official SQuAD scripts, which differ.

Both compare normal forms of answers, see `modicum.reading.normalisation`, which also says how answers in other than
Latin letters are compared; the passage decides, so that all answers about it are compared alike. Both take the best
over the gold answers and give the mean in percent. Version 1.1 counts a missing prediction as 0, and two
answers without words as an F1 of 0. Version 2.0 leaves missing predictions out of the mean, drops gold answers without
words, holds unanswerable questions to the empty answer, and can overrule predictions by no-answer probabilities.

Rajpurkar et al., *SQuAD*, 2016, and *Know What You Don't Know*, 2018, with the scripts published beside the data.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from modicum.reading.data.corpus import Asked, Corpus, Question
from modicum.reading.normalisation import Rules, answer_words, normalise, rules_of
from modicum.storage.counting import counted
from modicum.storage.errors import first_few
from modicum.storage.files import JSON

DEFAULT_THRESHOLD = 1.0  # of the 2.0 script: no probability is above it, so predictions stand as they are


@dataclass(frozen=True)
class QuestionScore:
    """What the prediction for one question reached.

    Attributes:
        id: Of the question.
        exact: 1 where the answer is right after normalisation, else 0.
        f1: Overlap of words, in [0, 1].
        has_answer: Whether the question has a gold answer.
    """

    id: str
    exact: float
    f1: float
    has_answer: bool


@dataclass(frozen=True)
class Figures:
    """Means over questions.

    Attributes:
        exact: Exact match, in percent.
        f1: F1, in percent.
        total: How many questions the means are over; where it is 0, both are 0.
    """

    exact: float
    f1: float
    total: int

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class BestThreshold:
    """What a threshold on no-answer probabilities chosen on these very questions reaches: an upper bound.

    Attributes:
        score: In percent.
        threshold: Questions whose probability of no answer is above it go unanswered.
    """

    score: float
    threshold: float


@dataclass(frozen=True)
class Scores:
    """All that predictions reached on a corpus.

    Attributes:
        overall: Over all questions in 1.1; over those with a prediction in 2.0.
        has_answer: Over those of them that have an answer; ``None`` where there is none.
        no_answer: Over those that have none; ``None`` where there is none.
        questions: Of each question counted, in the order of the corpus.
        missing: Ids of the questions without a prediction.
        best_exact: Best exact match over thresholds; ``None`` without probabilities of no answer.
        best_f1: Best F1 over thresholds; ``None`` without probabilities of no answer.
    """

    overall: Figures
    has_answer: Figures | None
    no_answer: Figures | None
    questions: tuple[QuestionScore, ...]
    missing: tuple[str, ...]
    best_exact: BestThreshold | None = None
    best_f1: BestThreshold | None = None


def exact_match(prediction: str, gold: str, rules: Rules | None = None) -> bool:
    """Tells whether two answers have the same normal form.

    Args:
        prediction: What was answered.
        gold: What is right.
        rules: Rules of comparison; None for the rules that fit both texts.

    Example:
        >>> exact_match("the Eiffel Tower!", "Eiffel tower")
        True
    """
    chosen = rules or rules_of(prediction, gold)
    return normalise(prediction, chosen) == normalise(gold, chosen)


def f1_v1(prediction: str, gold: str, rules: Rules | None = None) -> float:
    """Computes F1 of the words of two normal forms, as multisets; 0 if they share none, so also if both are empty.

    See `exact_match` for the arguments.

    Example:
        >>> round(f1_v1("Eiffel Tower in Paris", "the Eiffel Tower"), 2)  # two words of four and of two
        0.67
    """
    chosen = rules or rules_of(prediction, gold)
    return _f1(answer_words(prediction, chosen), answer_words(gold, chosen))


def f1_v2(prediction: str, gold: str, rules: Rules | None = None) -> float:
    """Computes F1 as in 1.1, but 1 if both normal forms are empty."""
    chosen = rules or rules_of(prediction, gold)
    words, gold_words = answer_words(prediction, chosen), answer_words(gold, chosen)
    return _f1(words, gold_words) if words and gold_words else float(words == gold_words)


def _f1(words: Sequence[str], gold_words: Sequence[str]) -> float:
    shared = (Counter(words) & Counter(gold_words)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(words), shared / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def score(corpus: Corpus, predictions: Mapping[str, str]) -> Scores:
    """Scores by the script of the corpus's own version; arguments and errors as of `score_v1` and `score_v2`."""
    return score_v2(corpus, predictions) if corpus.version == "2.0" else score_v1(corpus, predictions)


def score_v1(corpus: Corpus, predictions: Mapping[str, str]) -> Scores:
    """Scores by the script of SQuAD 1.1.

    Args:
        corpus: Questions, each with at least one gold answer.
        predictions: The answer by the id of its question; ids that the corpus does not hold are ignored.

    Raises:
        ValueError: If the corpus holds no question, or a question without a gold answer.
    """
    everything = _asked(corpus)
    unanswerable = [asked.question.id for asked in everything if not asked.question.answers]
    if unanswerable:
        raise ValueError(
            f"{counted(len(unanswerable), 'question')} without a gold answer, which SQuAD 1.1 has no rule for: "
            f"{first_few(unanswerable)}; score by version 2.0"
        )
    rows = tuple(_row(asked, _golds_v1(asked), predictions.get(asked.question.id), f1_v1) for asked in everything)
    missing = tuple(row.id for row in rows if row.id not in predictions)
    return Scores(figures(rows), figures(rows), None, rows, missing)


def score_v2(
    corpus: Corpus,
    predictions: Mapping[str, str],
    *,
    no_answer: Mapping[str, float] | None = None,
    threshold: float = DEFAULT_THRESHOLD,
) -> Scores:
    """Scores by the script of SQuAD 2.0.

    The published script stops with a key error where it breaks down scores and a prediction is missing; here the
    breakdown is over the questions that have one, as the overall mean is.

    Args:
        corpus: Questions, with gold answers or none.
        predictions: The answer by the id of its question; empty for none.
        no_answer: Probability that a question has no answer, by id, for every prediction.
        threshold: Predictions whose probability is above it are taken as the empty answer.

    Raises:
        ValueError: If the corpus holds no question, no question has a prediction, or a prediction has no probability.
    """
    everything = _asked(corpus)
    answered = [asked for asked in everything if asked.question.id in predictions]
    if not answered:
        raise ValueError("no question of the corpus has a prediction: check that their ids agree")
    _check_probabilities([asked.question for asked in answered], no_answer)
    raw = tuple(_row(asked, _golds_v2(asked), predictions[asked.question.id], f1_v2) for asked in answered)
    rows = raw if no_answer is None else tuple(_overruled(row, no_answer[row.id] > threshold) for row in raw)
    unanswerable = sum(not asked.question.answers for asked in everything)
    search = partial(_best_threshold, raw, predictions, no_answer, unanswerable)
    return Scores(
        overall=figures(rows),
        has_answer=_figures_where(rows, has_answer=True),
        no_answer=_figures_where(rows, has_answer=False),
        questions=rows,
        missing=tuple(asked.question.id for asked in everything if asked.question.id not in predictions),
        best_exact=search(lambda row: row.exact),
        best_f1=search(lambda row: row.f1),
    )


def figures(rows: Sequence[QuestionScore]) -> Figures:
    """Averages over questions, in percent."""
    total = len(rows)
    exact, f1 = (100 * sum(values) / max(total, 1) for values in ((r.exact for r in rows), (r.f1 for r in rows)))
    return Figures(exact, f1, total)


def _figures_where(rows: Sequence[QuestionScore], *, has_answer: bool) -> Figures | None:
    chosen = [row for row in rows if row.has_answer == has_answer]
    return figures(chosen) if chosen else None


def _asked(corpus: Corpus) -> list[Asked]:
    everything = list(corpus.asked())
    if not everything:
        raise ValueError("the corpus holds no question: there is nothing to score")
    return everything


def _golds_v1(asked: Asked) -> list[str]:
    return [answer.text for answer in asked.question.answers]


def _golds_v2(asked: Asked) -> list[str]:
    """Returns the gold answers that have words, or the empty answer if none has."""
    rules = rules_of(asked.passage.text)
    return [answer.text for answer in asked.question.answers if normalise(answer.text, rules)] or [""]


def _row(
    asked: Asked, golds: Iterable[str], prediction: str | None, f1: Callable[[str, str, Rules], float]
) -> QuestionScore:
    question, rules = asked.question, rules_of(asked.passage.text)
    has_answer = bool(question.answers)
    if prediction is None:
        return QuestionScore(question.id, 0.0, 0.0, has_answer)
    pairs = [(float(exact_match(prediction, gold, rules)), f1(prediction, gold, rules)) for gold in golds]
    exact, overlap = (max(values) for values in zip(*pairs, strict=True))
    return QuestionScore(question.id, exact, overlap, has_answer)


def _check_probabilities(answered: Sequence[Question], no_answer: Mapping[str, float] | None) -> None:
    lacking = [] if no_answer is None else [question.id for question in answered if question.id not in no_answer]
    if lacking:
        raise ValueError(
            f"{counted(len(lacking), 'prediction')} without a probability of no answer: {first_few(lacking)}; add it"
        )


def _overruled(row: QuestionScore, is_left: bool) -> QuestionScore:
    """Returns the score of leaving a question unanswered if ``is_left``, else that of its prediction."""
    if not is_left:
        return row
    right = float(not row.has_answer)
    return QuestionScore(row.id, right, right, row.has_answer)


def _best_threshold(
    rows: Sequence[QuestionScore],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None,
    unanswerable: int,
    measure: Callable[[QuestionScore], float],
) -> BestThreshold | None:
    """Searches as the 2.0 script does: leaves all questions unanswered, then answers one by one, the surest first."""
    if no_answer is None:
        return None
    by_id = {row.id: row for row in rows}
    current = best = float(unanswerable)
    threshold = 0.0
    for key in sorted(no_answer, key=no_answer.__getitem__):  # stable: ties stay in the order they came in
        row = by_id.get(key)
        if row is None:
            continue
        current += measure(row) if row.has_answer else -float(bool(predictions[key]))
        if current > best:
            best, threshold = current, no_answer[key]
    return BestThreshold(100 * best / len(rows), threshold)
