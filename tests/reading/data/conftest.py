import pytest

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.tokens import tokenize


@pytest.fixture(scope="session", autouse=True)
def compiled_rules():
    """The first call takes a good part of hypothesis's deadline for one example."""
    tokenize("")


@pytest.fixture
def ask():
    """Function that makes a question whose answers are the first places of these words in the passage."""

    def ask(passage, *answers, name="q", impossible=False):
        return Question(name, "What is it?", tuple(Answer(a, passage.index(a)) for a in answers), impossible)

    return ask


@pytest.fixture
def one_passage(ask):
    """Function that makes a corpus of one passage with one question about it."""

    def make(text, *answers, impossible=False):
        return Corpus((Passage(text, (ask(text, *answers, impossible=impossible),)),), "2.0" if impossible else "1.1")

    return make
