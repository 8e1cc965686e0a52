"""SQuAD files, versions 1.1 and 2.0: read with every defect repaired or counted, and written.

P. Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text*, EMNLP 2016; *Know What You Don't
Know*, ACL 2018. The layout is ``data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}``.
Version 2.0 adds ``is_impossible``; its ``plausible_answers`` are not answers and are not read. Augmented paragraphs
have ``"aug": {source, method, score}`` besides.
"""

import logging
import re
from pathlib import Path
from typing import NamedTuple, final

from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.json_files import Node, read_json_file, write_json_file
from modicum.reading.data.problems import Problem, ProblemKind, problem_lines
from modicum.storage.errors import DataError
from modicum.storage.files import JSON

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a surrogate pair: JSON can hold one, but no text that is to be written."""

_log = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # without those that are blanks
_LONG_WORD = re.compile(r"\w{1001}")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]")  # what a tokenizer makes at least one token of


class Loaded(NamedTuple):
    """What a file holds, and what was wrong with it."""

    corpus: Corpus
    problems: tuple[Problem, ...]


def read_squad(path: str | Path, *, labelled: bool = True) -> Loaded:
    """The passages and questions of a SQuAD file, plain or compressed by gzip.

    What cannot be used is left out and told, never dropped in silence; see `ProblemKind`. The problems are also logged.

    Args:
        path: The file.
        labelled: Leave out questions that have no answers though they are not impossible; else they stay.

    Raises:
        DataError: If the file is not JSON (the message names line and column), has another layout (the message names
            the field), or no usable question.
    """
    reader = _Reader(labelled)
    root = read_json_file(path)
    passages = tuple(
        passage
        for article in root.get("data").items()
        for paragraph in article.get("paragraphs").items()
        if (passage := reader.passage(paragraph, article.get("title"))) is not None
    )
    corpus = Corpus(passages, _version(root, passages))
    for line in problem_lines(reader.problems):
        _log.warning("%s: %s", path, line)
    if corpus.num_questions == 0:
        reasons = "; ".join(problem_lines(reader.problems)) or "it is empty"
        raise DataError(f"{path} holds no question that can be used: {reasons}")
    return Loaded(corpus, tuple(reader.problems))


def write_squad(path: str | Path, corpus: Corpus) -> None:
    """Writes a file that `read_squad` reads back equal; neighbouring passages of one title make an article."""
    articles: list[dict[str, JSON]] = []
    paragraphs: list[JSON] = []
    for passage in corpus.passages:
        if not articles or articles[-1]["title"] != passage.title:
            paragraphs = []
            articles.append({"title": passage.title, "paragraphs": paragraphs})
        paragraphs.append(_paragraph(passage, corpus.version))
    write_json_file(path, {"version": corpus.version, "data": articles})


@final
class _Reader:
    """From JSON to passages, keeping what was wrong."""

    def __init__(self, labelled: bool) -> None:
        self.problems: list[Problem] = []
        self._labelled = labelled
        self._ids: set[str] = set()

    def passage(self, node: Node, title: Node) -> Passage | None:
        text = self._text(node.get("context"), node.place)
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_PASSAGE, node.place)
            return None
        questions = (self._question(question, text) for question in node.get("qas").items())
        name = "" if title.value is None else title.text()
        return Passage(text, tuple(question for question in questions if question), name, _origin(node.get("aug")))

    def _question(self, node: Node, passage: str) -> Question | None:
        name = str(node.get("id").value) if isinstance(node.get("id").value, int) else node.get("id").text()
        text = self._text(node.get("question"), name)
        if name in self._ids:
            self._note(ProblemKind.DUPLICATE_ID, name)
            return None
        self._ids.add(name)
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_QUESTION, name)
            return None
        impossible = node.get("is_impossible").value is True
        given = [] if node.get("answers").value is None else list(node.get("answers").items())
        if impossible and given:
            self._note(ProblemKind.CONTRADICTION, name)
        if impossible:
            return Question(name, text, (), impossible=True)
        answers = tuple(answer for each in given if (answer := self._answer(each, passage, name)))
        if not answers and self._labelled:
            self._note(ProblemKind.UNANSWERED, name)
            return None
        return Question(name, text, answers)

    def _answer(self, node: Node, passage: str, name: str) -> Answer | None:
        text = SURROGATE.sub("\ufffd", node.get("text").text())
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_ANSWER, name)
            return None
        said = node.get("answer_start").value
        offset = said if isinstance(said, int) else -1
        if offset >= 0 and passage.startswith(text, offset):
            return Answer(text, offset)
        for form in (text, text.strip()):
            if (start := _nearest(passage, form, offset)) is not None:
                self._note(ProblemKind.WRONG_OFFSET, name)
                return Answer(form, start)
        self._note(ProblemKind.LOST_ANSWER, name)
        return None

    def _text(self, node: Node, place: str) -> str:
        text = node.text()
        if SURROGATE.search(text):
            self._note(ProblemKind.SURROGATE, place)
            text = SURROGATE.sub("\ufffd", text)  # of the same length: offsets stay
        if _CONTROL.search(text):
            self._note(ProblemKind.CONTROL_CHARACTER, place)
        if _LONG_WORD.search(text):
            self._note(ProblemKind.LONG_WORD, place)
        return text

    def _note(self, kind: ProblemKind, place: str) -> None:
        self.problems.append(Problem(kind, place))


def _nearest(passage: str, text: str, offset: int) -> int | None:
    """Where ``text`` occurs in the passage closest to ``offset``; None if nowhere."""
    before, after = passage.rfind(text, 0, max(offset, 0) + len(text)), passage.find(text, max(offset, 0))
    found = [start for start in (before, after) if start >= 0]
    return min(found, key=lambda start: abs(start - offset)) if found else None


def _version(root: Node, passages: tuple[Passage, ...]) -> str:
    """What the file says, with or without a ``v``; if it says nothing, 2.0 if a question is impossible."""
    said = root.get("version").value
    if said is None:
        impossible = any(question.impossible for passage in passages for question in passage.questions)
        return "2.0" if impossible else "1.1"
    version = str(said).removeprefix("v")
    if version not in ("1.1", "2.0"):
        raise DataError(f"{root.place} has version {said!r}: SQuAD's versions are '1.1' and '2.0'")
    return version


def _origin(node: Node) -> Origin | None:
    if node.value is None:
        return None
    return Origin(node.get("source").text(), node.get("method").text(), node.get("score").number())


def _paragraph(passage: Passage, version: str) -> dict[str, JSON]:
    questions = [_written(question, version) for question in passage.questions]
    paragraph: dict[str, JSON] = {"context": passage.text, "qas": questions}
    if (origin := passage.origin) is not None:
        paragraph["aug"] = {"source": origin.source, "method": origin.method, "score": origin.score}
    return paragraph


def _written(question: Question, version: str) -> dict[str, JSON]:
    answers: list[JSON] = [{"text": answer.text, "answer_start": answer.start} for answer in question.answers]
    written: dict[str, JSON] = {"id": question.id, "question": question.text, "answers": answers}
    if version == "2.0":
        written["is_impossible"] = question.impossible
    return written
