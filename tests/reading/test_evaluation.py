import json
import math

import pytest

from modicum.reading.answering import Candidate, Found
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.tokens import tokenizer
from modicum.reading.evaluation import evaluate_run, first_questions, tune_margin
from modicum.reading.illustration import NUM_EXAMPLES, Illustrator
from modicum.reading.preparation import Words, open_parts
from modicum.reading.qanet.fitting import fit
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.errors import RunError
from modicum.storage.runs import RunFolder

SIMPLE = 5  # baselines without training


def new_run(path):
    return RunFolder.create(path, system="qanet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module", params=["1.1", "2.0"])
def evaluated(request, quick_options, lookup_folder, unanswerable_folder, tmp_path_factory):
    """A run of each version of SQuAD, and what its evaluation gives."""
    data = {"1.1": lookup_folder, "2.0": unanswerable_folder}[request.param]
    recipe = build_recipe(QANetRecipe, {**quick_options, "data": str(data), "epochs": 1})
    run = new_run(tmp_path_factory.mktemp("run") / "run")
    network = fit(recipe, run)
    return recipe, run, network, evaluate_run(run, network, recipe, system="qanet")


def test_network_is_held_against_all_baselines(evaluated):
    _, _, network, found = evaluated
    names = [method.name for method in found.methods]
    assert names[:2] == ["network", "reader with LSTMs of BiDAF's sizes, trained alike"]
    assert names[-1] == "logistic regression"
    assert len(names) == 2 + SIMPLE + 1
    assert found.methods[0].parameters == sum(weight.numel() for weight in network.parameters())
    assert found.methods[0].questions_per_second > 0
    assert all(method.figures.total == found.num_questions["test"] for method in found.methods)


def test_every_group_of_questions_adds_up_to_all(evaluated):
    found = evaluated[-1]
    for groups in (found.groups.question_word, found.groups.answer_length, found.groups.passage_length):
        assert sum(group.figures.total for group in groups) == found.num_questions["test"]


def test_reliability_is_of_all_answers(evaluated):
    found = evaluated[-1]
    assert sum(each.total for each in found.reliability.bins) == found.num_questions["test"]


def test_no_answer_is_told_where_data_have_it(evaluated):
    found = evaluated[-1]
    if found.version == "1.1":
        assert found.abstention is None
        return
    total = found.abstention.has_answer.total + found.abstention.no_answer.total
    assert total == found.num_questions["test"]
    assert found.abstention.best_f1 >= found.scores.overall.f1 - 1e-6
    assert not math.isnan(found.abstention.margin)


def test_examples_are_right_or_wrong_and_their_attention_sums_to_one(evaluated):
    found = evaluated[-1]
    assert all(example.f1 == 1 for example in found.right)
    assert all(example.f1 == 0 for example in found.wrong)
    assert 0 < len(found.wrong) <= NUM_EXAMPLES
    for example in (*found.right, *found.wrong):
        weights = example.attended.weights
        assert weights.shape == (len(example.attended.passage), len(example.attended.question))
        assert weights.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_evaluation_is_plain_data(evaluated):
    plain = json.loads(json.dumps(evaluated[-1].to_json(), allow_nan=False))
    assert plain["methods"][0]["figures"]["f1"] == evaluated[-1].scores.overall.f1


def test_attention_is_that_of_the_window_that_holds_the_answer(evaluated):
    recipe, run, network, _ = evaluated
    text = recipe.text.__class__(passage_tokens=8, stride=4)
    collator = Words.load(run).collator(text, has_no_answer=network.has_no_answer)
    asked = next(open_parts(recipe, run)[0].test.asked())
    token = tokenizer("regex")(asked.passage.text)[12]
    found = Found((Candidate(token.text, token.start, token.end, 0.5),), None, math.inf)
    example = Illustrator(network, collator, text).show(asked, found, token.text, 0.0)
    assert token.text in example.attended.passage
    assert len(example.attended.passage) == 8
    assert token.text in example.sentence


def test_unfinished_run_is_not_evaluated(evaluated, tmp_path):
    recipe, _, network, _ = evaluated
    with pytest.raises(RunError, match=r"no model\.safetensors yet: finish its training with --resume"):
        evaluate_run(new_run(tmp_path / "run"), network, recipe, system="qanet")


class Sure:
    """Finds the whole of each passage, with margins as given."""

    def __init__(self, margins):
        self.margins = iter(margins)

    def find(self, asked):
        texts = [windows[0].passage.text for windows in asked]
        return [Found((Candidate(text, 0, len(text), 0.5),), 0.1, next(self.margins)) for text in texts]


def test_margin_keeps_right_answers_and_leaves_out_the_wrong_ones(evaluated):
    questions = [Question("a", "x?", (Answer("yes", 0),)), Question("b", "x?", (), impossible=True)]
    corpus = Corpus(tuple(Passage("yes", (question,)) for question in questions), "2.0")
    margin = tune_margin(Sure([3.0, 1.0]), corpus, evaluated[0].text)
    assert 1.0 <= margin < 3.0


@pytest.mark.parametrize("impossible", [True, False])
def test_margin_is_finite_where_saying_nothing_or_everything_is_best(evaluated, impossible):
    answers = () if impossible else (Answer("yes", 0),)
    corpus = Corpus((Passage("yes", (Question("a", "x?", answers, impossible),)),), "2.0")
    margin = tune_margin(Sure([2.0]), corpus, evaluated[0].text)
    assert math.isfinite(margin)
    assert (margin >= 2.0) is impossible


def test_first_questions_are_whole_passages():
    passages = tuple(Passage(f"{n}", tuple(Question(f"{n}{m}", "x?", ()) for m in range(3))) for n in range(4))
    corpus = Corpus(passages, "2.0")
    assert [first_questions(corpus, limit).num_questions for limit in (1, 3, 8, 100)] == [3, 3, 6, 12]
