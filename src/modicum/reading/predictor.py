"""From a text and a question to a piece of the text that answers it, its place and its probability."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from modicum.prediction import Advanced, Failure, Limits, Pending, pend
from modicum.reading.answering import Candidate, Found, Reader
from modicum.reading.asking import Ask
from modicum.reading.data.corpus import Passage, Question
from modicum.reading.data.examples import Example, Tokenised, question_words, tokenise
from modicum.reading.data.squad import SURROGATE
from modicum.reading.data.tokens import Tokenizer
from modicum.reading.data.windows import windows
from modicum.reading.recipe import TextOptions
from modicum.reading.showing import one_line
from modicum.storage.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Input = Ask | tuple[str, str]

LONGEST_TEXT = 10_000_000  # characters, of a passage or question: twice the Bible
CHUNK = 512  # questions that are looked at together, to make batches of similar lengths


@dataclass(frozen=True)
class Reply:
    """What a network answers.

    Attributes:
        name: The id of the question, or its place among the questions.
        question: What was asked.
        text: The answer, a piece of the text; empty for "no answer".
        start: Its first character, in Unicode code points from 0; None for "no answer".
        end: One past its last character; None for "no answer".
        probability: Of what is answered, be it "no answer", in [0, 1].
        no_answer: Probability that the text does not answer the question; None for a network that always answers.
        candidates: The best pieces, the best first, whether one is the answer or none.
    """

    name: str
    question: str
    text: str
    start: int | None
    end: int | None
    probability: float
    no_answer: float | None
    candidates: tuple[Candidate, ...]

    def __str__(self) -> str:
        answer = one_line(self.text) or "(no answer)"
        lines = [f"{one_line(self.question)}  {answer}  ({100 * self.probability:.0f} %)"]
        rest = self.candidates[1:] if self.text else self.candidates
        lines += [f"    {one_line(each.text)}  ({100 * each.probability:.0f} %)" for each in rest]
        return "\n".join(lines if len(self.candidates) > 1 else lines[:1])

    def to_json(self) -> dict[str, object]:
        """Returns plain data for JSON; candidates only if there are several."""
        names = ("name", "question", "text", "start", "end", "probability", "no_answer")
        several = [asdict(each) for each in self.candidates] if len(self.candidates) > 1 else []
        return {name: getattr(self, name) for name in names} | ({"candidates": several} if several else {})

    def pictures(self) -> "Mapping[str, Image]":
        """Returns nothing: there is nothing to see."""
        return {}

    def encode(self) -> Mapping[str, bytes]:
        """Returns nothing: no file is written."""
        return {}


class Predictor:
    """Answers questions about texts; call it with one pair, `ask` for one text, or use `predict_all` for many.

    Texts may be in any script; long ones are read in windows.

    Args:
        reader: The network, and how it is run.
        tokenizer: The training's.
        options: How text is cut.
        margin: Log probability by which an answer must beat "no answer".
    """

    def __init__(self, reader: Reader, tokenizer: Tokenizer, options: TextOptions, *, margin: float = 0.0) -> None:
        self.reader, self.tokenizer, self.options, self.margin = reader, tokenizer, options, margin

    @property
    def limits(self) -> Limits:
        """Accepts a text and a question; long texts are read in windows."""
        return Limits(("text",), largest=LONGEST_TEXT)

    def __call__(self, ask: Input) -> Reply:
        """Answers a question about a text: ``predictor((text, question))``.

        Raises:
            DataError: If text or question has no words.
        """
        (reply,) = self.predict_all([ask])
        if isinstance(reply, Failure):
            raise DataError(str(reply))
        return reply

    def ask(self, passage: str, *questions: str) -> list[Reply]:
        """Answers questions about one text, which is read only once if the network allows it.

        Raises:
            DataError: If the text or a question has no words.
        """
        replies: list[Reply] = []
        for reply in self.predict_all(Ask(passage, question) for question in questions):
            if isinstance(reply, Failure):
                raise DataError(str(reply))
            replies.append(reply)
        return replies

    def predict_all(self, asks: Iterable[Input | Failure], *, chunk: int = CHUNK) -> Iterator[Reply | Failure]:
        """Yields each answer, in order. An unusable question becomes a `Failure`, and failures are passed on.

        Args:
            asks: The questions, read lazily. A text of over `LONGEST_TEXT` characters is refused. Half surrogate
                pairs, which cannot be printed, are read as U+FFFD.
            chunk: Number of questions answered together, if their texts are not too long.
        """
        part: list[tuple[str, Ask | Failure]] = []
        size = 0
        for place, given in enumerate(asks):
            name = _named(place, given)
            ask = _checked(name, given)
            part.append((name, ask))
            size += len(ask.passage) if isinstance(ask, Ask) else 0
            if len(part) >= chunk or size >= LONGEST_TEXT:
                yield from self._answer(self._prepare_all(part))
                part, size = [], 0
        if part:
            yield from self._answer(self._prepare_all(part))

    def start(self, asks: Iterable[Input]) -> list["Pending[_Prepared] | Failure"]:
        """Cuts texts into windows; all questions can take their one step together, as the reader makes the batches.

        See `modicum.prediction.Predictor`. Questions of one call share what is read of their texts.
        """
        named = [(_named(place, given), given) for place, given in enumerate(asks)]
        return pend(self._prepare_all([(name, _checked(name, given)) for name, given in named]), lambda _: "reading")

    def advance(self, pendings: Sequence["Pending[_Prepared]"], *, knob: float | None = None) -> Advanced:
        """Answers questions; see `modicum.prediction.Predictor`."""
        replies = self._answer([pending.state for pending in pendings])
        return Advanced([(pending.item, reply) for pending, reply in zip(pendings, replies, strict=True)], [])

    def _answer(self, prepared: Sequence["_Prepared | Failure"]) -> list[Reply | Failure]:
        found = iter(self.reader.find([each.windows for each in prepared if not isinstance(each, Failure)]))
        return [each if isinstance(each, Failure) else self._reply(each, next(found)) for each in prepared]

    def _prepare_all(self, asks: Iterable[tuple[str, Ask | Failure]]) -> list["_Prepared | Failure"]:
        known: dict[str, Tokenised] = {}
        return [ask if isinstance(ask, Failure) else self._prepare(name, ask, known) for name, ask in asks]

    def _prepare(self, name: str, ask: Ask, known: dict[str, Tokenised]) -> "_Prepared | Failure":
        """Prepares a question with all windows of its text; tokenised texts are cached in ``known``."""
        options = self.options
        try:
            if ask.passage not in known:
                known[ask.passage] = tokenise(Passage(ask.passage, ()), self.tokenizer)
            words = question_words(Question(name, ask.question, ()), self.tokenizer)[: options.question_tokens]
        except ValueError as error:
            return Failure(name, str(error))
        passage = known[ask.passage]
        pieces = windows(len(passage.tokens), options.passage_tokens, options.stride)
        return _Prepared(name, ask.question, [Example(name, passage, piece, words) for piece in pieces])

    def _reply(self, asked: "_Prepared", found: Found) -> Reply:
        best, none = found.candidates[0], found.no_answer
        if none is not None and found.margin <= self.margin:
            return Reply(asked.name, asked.question, "", None, None, none, none, found.candidates)
        answer = (best.text, best.start, best.end, best.probability)
        return Reply(asked.name, asked.question, *answer, none, found.candidates)


class _Prepared(NamedTuple):
    """A question, ready for a network."""

    name: str
    question: str
    windows: list[Example]


def _named(place: int, ask: object) -> str:
    return str(ask.id if isinstance(ask, Ask) and ask.id is not None else "") or f"question {place + 1}"


def _checked(name: str, ask: object) -> Ask | Failure:
    """Checks that the texts of a question can be read; returns the question, or why it is unusable."""
    if isinstance(ask, Failure):
        return ask
    if not isinstance(ask, tuple | list) or len(ask) not in (2, 3):
        return Failure(name, f"must be a passage and a question, two texts, got a {type(ask).__name__}")
    for what, text in zip(("passage", "question"), ask, strict=False):
        if not isinstance(text, str):
            return Failure(name, f"the {what} must be a text, got a {type(text).__name__}")
        if len(text) > LONGEST_TEXT:
            return Failure(name, f"the {what} has {len(text):,} characters, at most {LONGEST_TEXT:,} can be read")
    return Ask(SURROGATE.sub("\ufffd", ask[0]), SURROGATE.sub("\ufffd", ask[1]), name)
