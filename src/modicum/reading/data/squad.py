"""SQuAD files of any version, and rows of passage, question and answers: every defect repaired or counted; and written.

P. Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text*, EMNLP 2016; *Know What You Don't
Know*, ACL 2018. The layout is ``data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}``.
Version 2.0 adds ``is_impossible``; its ``plausible_answers`` are not answers and are not read. The layout decides, not
the word in ``version``: a question is unanswerable if it is marked so, or if its list of answers is empty, as the
official script counts. Augmented paragraphs have ``"aug": {source, method, score}`` besides.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple, final

from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.given_answers import ANSWER_NAMES, Given, given_answers
from modicum.reading.data.json_files import Node, write_json_file
from modicum.reading.data.layouts import PASSAGE_NAMES, read_content
from modicum.reading.data.problems import Problem, ProblemKind, problem_lines
from modicum.reading.data.shards import name_of_set
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


def read_squad(path: str | Path, *further: Path, labelled: bool = True) -> Loaded:
    """Reads the passages and questions of a file, in SQuAD's layout or with a row for each question.

    What cannot be used is left out and reported, never dropped silently; see `ProblemKind`. Problems are also logged.
    Rows of one passage and title become one passage. A question without an id gets one from the name of the file and
    its place among the questions.

    Args:
        path: JSON, JSON lines, CSV (each plain or compressed by gzip) or Parquet; see `modicum.reading.data.layouts`.
        *further: Other shards of the same set, whose questions come after those of ``path``.
        labelled: Leave out questions that have no answers though they are not impossible; else they stay.

    Raises:
        DataError: If the file cannot be read, has another layout, or no usable question; the message names the place.
        MissingExtraError: If it is Parquet, and pyarrow is not installed.
    """
    elements, said = read_content(path)
    name = name_of_set((Path(path), *further))
    reader = _Reader(name, is_first=(said or "").removeprefix("v").startswith("1"))
    for element in chain(elements, *(read_content(file).elements for file in further)):
        reader.add(element)
    passages = reader.passages(labelled=labelled)
    is_impossible = any(question.impossible for passage in passages for question in passage.questions)
    version = "2.0" if is_impossible or (said or "").removeprefix("v") == "2.0" else "1.1"
    corpus = Corpus(passages, version)
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


@dataclass
class _Draft:
    """A passage whose questions come one after the other."""

    text: str
    title: str
    origin: Origin | None
    questions: list[Question] = field(default_factory=list)


@final
class _Reader:
    """From elements of files to passages, keeping what was wrong.

    Args:
        name: What made-up ids begin with.
        is_first: Whether the file says that it is of version 1, where every question has an answer.
    """

    def __init__(self, name: str, *, is_first: bool) -> None:
        self.problems: list[Problem] = []
        self._name, self._is_first = name, is_first
        self._drafts: list[_Draft] = []
        self._of_rows: dict[tuple[str, str], _Draft] = {}
        self._ids: set[str] = set()
        self._unlabelled: dict[str, str] = {}  # ids of questions without answers, with where they stand
        self._emptied: dict[str, bool] = {}  # of those with an empty list of answers: whether to tell
        self._is_flagged = False
        self._num_questions = 0

    def add(self, element: Node) -> None:
        """Takes an article, a paragraph or a row."""
        if element.has("paragraphs"):
            try:
                for paragraph in element.get("paragraphs").items():
                    self._attempt(self._add_paragraph, paragraph, _title(element))
            except DataError as error:
                self._note(ProblemKind.MALFORMED, str(error))
        elif element.has("qas"):
            self._attempt(self._add_paragraph, element, _title(element))
        else:
            self._attempt(self._add_row, element, _title(element))

    def passages(self, *, labelled: bool) -> tuple[Passage, ...]:
        """Returns what was taken; leaves out questions without answers that are ``labelled`` to have some."""
        has_answers = any(question.answers for draft in self._drafts for question in draft.questions)
        if labelled and not (has_answers or self._is_flagged):
            self._unlabelled |= dict.fromkeys(self._emptied, "")  # nothing says that the lists are meant to be empty
            self._emptied.clear()
        for name, is_told in self._emptied.items():
            if is_told:
                self._note(ProblemKind.EMPTY_LIST, name)
        for name in self._unlabelled if labelled else ():
            self._note(ProblemKind.UNANSWERED, name)
        return tuple(self._finished(draft, labelled) for draft in self._drafts)

    def _finished(self, draft: _Draft, labelled: bool) -> Passage:
        questions = (
            replace(question, impossible=True) if question.id in self._emptied else question
            for question in draft.questions
            if not (labelled and question.id in self._unlabelled)
        )
        return Passage(draft.text, tuple(questions), draft.title, draft.origin)

    def _attempt(self, add: Callable[[Node, str], None], node: Node, title: str) -> None:
        try:
            add(node, title)
        except DataError as error:
            self._note(ProblemKind.MALFORMED, str(error))

    def _add_paragraph(self, node: Node, title: str) -> None:
        text = self._text(node.get("context"), node.place)
        questions = list(node.get("qas").items())
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_PASSAGE, node.place)
            return
        draft = _Draft(text, title, _origin(node.get("aug")))
        self._drafts.append(draft)
        for question in questions:
            self._attempt(lambda each, _: self._add_question(each, draft), question, title)

    def _add_row(self, node: Node, title: str) -> None:
        name = next((name for name in PASSAGE_NAMES if node.has(name)), PASSAGE_NAMES[0])
        if not node.has("question") and not isinstance(node.value, Mapping):
            node.get(name)  # says what it is instead
        text = self._text(node.get(name), node.place)
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_PASSAGE, node.place)
            return
        if (draft := self._of_rows.get((title, text))) is None:
            draft = self._of_rows[title, text] = _Draft(text, title, None)
            self._drafts.append(draft)
        self._add_question(node, draft)

    def _add_question(self, node: Node, draft: _Draft) -> None:
        self._num_questions += 1
        name = self._id(node)
        text = self._text(node.get("question"), name)
        if name in self._ids:
            self._note(ProblemKind.DUPLICATE_ID, name)
            return
        self._ids.add(name)
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_QUESTION, name)
            return
        flag, given = _flag(node.get("is_impossible")), given_answers(node)
        if flag:
            self._is_flagged = True
            if given:
                self._note(ProblemKind.CONTRADICTION, name)
            draft.questions.append(Question(name, text, (), impossible=True))
            return
        found = (self._answer(each, draft.text, name) for each in given or ())
        answers = tuple(answer for answer in found if answer)
        draft.questions.append(Question(name, text, answers))
        if given is not None and not given:
            is_cell = any(isinstance(node.get(each).value, str) for each in ANSWER_NAMES)
            self._emptied[name] = flag is False or self._is_first or is_cell
        elif not answers:
            self._unlabelled[name] = node.place

    def _id(self, node: Node) -> str:
        found = next((node.get(key) for key in ("id", "qid") if node.has(key)), None)
        if found is None or found.value == "":
            return f"{self._name}-{self._num_questions}"
        return str(found.value) if isinstance(found.value, int) else SURROGATE.sub("\ufffd", found.text())

    def _answer(self, given: Given, passage: str, name: str) -> Answer | None:
        text, offset = SURROGATE.sub("\ufffd", given.text.text()), given.start
        if not _WORD.search(text):
            self._note(ProblemKind.EMPTY_ANSWER, name)
            return None
        if offset is not None and offset >= 0 and passage.startswith(text, offset):
            return Answer(text, offset)
        for form in (text, text.strip()):
            if (start := _nearest(passage, form, -1 if offset is None else offset)) is not None:
                if offset is not None:
                    self._note(ProblemKind.WRONG_OFFSET, name)
                elif passage.find(form, start + 1) >= 0:
                    self._note(ProblemKind.NO_OFFSET, name)
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
    """Returns where ``text`` occurs in the passage closest to ``offset``; None if nowhere."""
    before, after = passage.rfind(text, 0, max(offset, 0) + len(text)), passage.find(text, max(offset, 0))
    found = [start for start in (before, after) if start >= 0]
    return min(found, key=lambda start: abs(start - offset)) if found else None


def _title(node: Node) -> str:
    title = node.get("title") if isinstance(node.value, Mapping) else Node(None, node.place)
    return "" if title.value is None else SURROGATE.sub("\ufffd", str(title.value))


def _flag(node: Node) -> bool | None:
    """Tells whether a question is impossible; None if the file does not say."""
    said = node.value.strip().lower() if isinstance(node.value, str) else node.value
    if said in (True, "true", "1"):
        return True
    return False if said in (False, "false", "0") else None


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
