from dataclasses import replace

import pytest
from written_sets import write_lookup

from modicum.reading.data.corpus import Corpus
from modicum.reading.data.lookup import draw_lookup
from modicum.reading.data.squad import write_squad


@pytest.fixture(scope="session")
def lookup_folder(tmp_path_factory):
    """Files for train, dev and test of a look-up task of dozens of questions."""
    return write_lookup(tmp_path_factory.mktemp("lookup"), sizes=(24, 4, 4))


def _without_every_third_answer(corpus):
    count = 0
    passages = []
    for passage in corpus.passages:
        questions = []
        for question in passage.questions:
            count += 1
            questions.append(replace(question, answers=(), impossible=True) if count % 3 == 0 else question)
        passages.append(replace(passage, questions=tuple(questions)))
    return Corpus(tuple(passages), "2.0")


@pytest.fixture(scope="session")
def unanswerable_folder(tmp_path_factory):
    """As `lookup_folder`, of version 2.0; a third of the questions has no answer."""
    folder = tmp_path_factory.mktemp("unanswerable")
    for name, corpus in zip(("train", "dev", "test"), draw_lookup(sizes=(24, 4, 4)), strict=True):
        write_squad(folder / f"{name}.json", _without_every_third_answer(corpus))
    return folder


@pytest.fixture(scope="session")
def quick_options(lookup_folder):
    """A recipe of seconds with everything that a resumption could lose: dropout, skipped layers, averaged weights."""
    return {
        "data": str(lookup_folder),
        "network": {
            "embedding": {"word_dim": 8, "character_dim": 4, "character_features": 4},
            "embedding_encoder": {"blocks": 1, "convolutions": 1, "kernel": 3},
            "model_encoder": {"blocks": 1, "convolutions": 1, "kernel": 3},
            "dropout": {"layer_dropout": 0.3},
            "width": 16,
            "heads": 2,
            "feed_forward": 16,
        },
        "text": {"batch_size": 8},
        "epochs": 3,
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 10},
        "ema_decay": 0.9,
        "trainer": {"accelerator": "cpu", "threads": 1},
    }
