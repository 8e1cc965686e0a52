from itertools import chain

import pytest

from modicum.reading.data.examples import training_examples
from modicum.reading.data.lookup import draw_lookup
from modicum.reading.data.tokens import tokenize
from modicum.reading.recipe import TextOptions
from modicum.storage.errors import DataError

SIZES = (60, 20, 20)


@pytest.fixture(scope="module")
def parts():
    return draw_lookup(sizes=SIZES)


def entities(corpus):
    return {asked.question.text.split()[-2] for asked in corpus.asked()}


def test_task_is_a_function_of_its_seed(parts):
    assert draw_lookup(sizes=SIZES) == parts
    assert draw_lookup(seed=1, sizes=SIZES) != parts


def test_no_entity_is_in_two_parts(parts):
    assert len(set().union(*map(entities, parts))) == sum(len(entities(corpus)) for corpus in parts)


def test_every_question_has_its_answer_once_beside_its_entity(parts):
    for passage, question in chain.from_iterable(corpus.asked() for corpus in parts):
        (answer,) = question.answers
        assert passage.text[answer.start : answer.end] == answer.text
        relation, entity = question.text.split()[3], question.text.split()[5]
        fact = next(fact for fact in passage.text.split(" . ") if entity in fact.split())
        told = f"the {relation} of {entity}"
        assert fact.removesuffix(" .") in (f"{told} is {answer.text}", f"{answer.text} is {told}")


def test_everything_can_be_learnt(parts):
    examples, left_out = training_examples(parts.train, tokenize, TextOptions())
    assert (len(examples), left_out) == (parts.train.num_questions, {})
    assert len({asked.question.id for asked in parts.train.asked()}) == len(examples)


def test_passages_hold_three_to_six_facts(parts):
    assert {len(passage.questions) for passage in parts.train.passages} == {3, 4, 5, 6}


def test_empty_part_is_refused():
    with pytest.raises(DataError, match=r"at least one passage in each part, got sizes \(1, 0, 1\)"):
        draw_lookup(sizes=(1, 0, 1))
