import io
import json
import os
import re

import pytest
import torch

from modicum import verbs
from modicum.cli import main
from modicum.prediction import Failure
from modicum.reading.data.lookup import draw_lookup
from modicum.reading.data.squad import write_squad
from modicum.reading.preparation import open_parts, prepare_words
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe, recipe_text
from modicum.storage.errors import DataError, OutputError, RecipeError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network

PASSAGE = "Bako is the king of Zed. Miru is the queen."


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """A folder with files for train, dev and test."""
    folder = tmp_path_factory.mktemp("lookup")
    for name, corpus in zip(("train", "dev", "test"), draw_lookup(sizes=(6, 2, 2)), strict=True):
        write_squad(folder / f"{name}.json", corpus)
    return folder


def make_run(questions, path, **text):
    """What a training leaves, as far as the verbs need it."""
    options = {
        "text": text,
        "data": str(questions),
        "network": {
            "embedding": {"word_dim": 8, "character_dim": 4, "character_features": 4},
            "embedding_encoder": {"blocks": 1, "convolutions": 1, "kernel": 3},
            "model_encoder": {"blocks": 1, "convolutions": 1, "kernel": 3},
            "width": 8,
            "heads": 2,
            "feed_forward": 8,
        },
        "baselines": False,
        "trainer": {"accelerator": "cpu"},
    }
    recipe = build_recipe(QANetRecipe, options)
    folder = RunFolder.create(path, system="qanet", recipe_text=recipe_text(recipe), command="", versions={})
    words = prepare_words(recipe, 8, open_parts(recipe, folder)[0], folder)
    torch.manual_seed(0)
    save_network(folder.weights, QANet(recipe.network, num_characters=words.vocabulary.num_characters))
    return path


@pytest.fixture(scope="module")
def run(questions, tmp_path_factory):
    """A run with the default rules for tokens."""
    return make_run(questions, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def passage(tmp_path):
    file = tmp_path / "passage.txt"
    file.write_text(PASSAGE)
    return file


def test_predictor_answers_about_a_text(run):
    reply = verbs.predictor(run)((PASSAGE, "Who is the king?"))
    assert reply.text == PASSAGE[reply.start : reply.end]


def test_run_made_before_korean_had_characters_reads_as_it_did(questions, tmp_path):
    old = make_run(questions, tmp_path / "old", tokenizer="regex")
    assert "tokenizer: regex\n" in (old / "recipe.yaml").read_text()
    tool = verbs.predictor(old)
    assert [token.text for token in tool.tokenizer("민수가 지었다")] == ["민수가", "지었다"]
    assert tool(("민수가 지었다", "누가?")).text in ("민수가", "지었다", "민수가 지었다")


def test_bad_inputs_cost_only_themselves_at_the_command_line(run, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "rows.csv").write_text(f'context,question\n"{PASSAGE}",Who?\n')
    inputs = [str(tmp_path / "pipe.json"), "/dev/zero", str(tmp_path / "rows.csv")]
    assert main(["predict", str(run), *inputs, "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in row for row in rows] == [True, True, False]


def test_question_about_a_text_file_is_answered(run, passage, capsys):
    assert main(["predict", str(run), "--passage", str(passage), "--question", "Who?", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["name"], row["question"]) == ("question 1", "Who?")
    assert row["text"] == PASSAGE[row["start"] : row["end"]]


def test_questions_about_a_text_file_are_read_from_standard_input(run, passage, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Who is the king?\n\nWho is the queen?\n"))
    assert main(["predict", str(run), "--passage", str(passage)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["Who is the king?", "Who is the queen?"]


class Terminal(io.StringIO):
    """Standard input of someone who types."""

    def isatty(self):
        return True


def test_dialogue_answers_each_question_before_the_next_and_ends_with_an_empty_one(run, passage, monkeypatch):
    typed = iter(["Who?", "Where?", ""])
    asked = []

    def type_next(console, prompt):
        asked.append(prompt)
        return next(typed)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("rich.console.Console.input", type_next)
    replies = verbs.predict(run, passage=passage)
    assert next(replies).question == "Who?"
    assert len(asked) == 1
    assert [reply.question for reply in replies] == ["Where?"]
    assert asked == ["question (empty to end): "] * 3


def test_file_of_the_user_is_not_overwritten_with_answers_and_ours_is(run, passage, tmp_path):
    out = tmp_path / "answers.json"
    for _ in range(2):
        list(verbs.predict(run, passage=passage, question="Who?", out=out))
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"answers\.json' was not written by modicum, or has been changed since"):
        list(verbs.predict(run, passage=passage, question="Who?", out=out))
    assert out.read_text() == "mine"
    with pytest.raises(OutputError, match="would take the place of the input"):
        list(verbs.predict(run, passage=passage, question="Who?", out=passage, force=True))
    list(verbs.predict(run, passage=passage, question="Who?", out=out, force=True))
    assert json.loads(out.read_text())


def test_dialogue_ends_with_the_input(run, passage, monkeypatch):
    def end(console, prompt):
        raise EOFError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("rich.console.Console.input", end)
    assert list(verbs.predict(run, passage=passage)) == []


def test_lines_of_json_are_answered_and_a_bad_one_costs_only_itself(run, capsys, monkeypatch):
    line = json.dumps({"passage": PASSAGE, "question": "Who?", "id": "a"})
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n{{]\n{line}\n"))
    assert main(["predict", str(run), "-", "--json"]) == 1
    rows = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert ["error" in row for row in rows] == [False, True, False]
    assert rows[0] == pytest.approx(rows[2], abs=1e-5)


def test_byte_order_mark_before_lines_is_no_part_of_the_first(run, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\ufeff{json.dumps({'passage': PASSAGE, 'question': 'Who?'})}\n"))
    assert main(["predict", str(run), "-", "--json"]) == 0


def test_line_with_separators_of_unicode_is_one_line(run, capsys, monkeypatch):
    line = json.dumps({"passage": "Bako\u2028is\x85king", "question": "Who?"}, ensure_ascii=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
    assert main(["predict", str(run), "-", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_input_that_is_not_there_costs_only_itself(run, questions, tmp_path, capsys):
    inputs = [str(questions / "test.json"), str(tmp_path / "none.json")]
    assert main(["predict", str(run), *inputs, "-o", str(tmp_path / "answers.json")]) == 1
    assert "input 2: not read:" in capsys.readouterr().err
    assert json.loads((tmp_path / "answers.json").read_text())


def test_first_of_answers_with_one_id_is_kept_and_the_others_are_told(run, tmp_path, caplog):
    lines = [json.dumps({"passage": text, "question": "Who?", "id": "a"}) for text in ("Bako", "Miru", "Zed")]
    list(verbs.predict(run, lines, out=tmp_path / "answers.json"))
    assert json.loads((tmp_path / "answers.json").read_text()) == {"a": "Bako"}
    assert "answers.json lacks 2 answers whose id had been used before" in caplog.text


def test_question_may_be_longer_than_a_file_name(run, passage, capsys):
    assert main(["predict", str(run), "--passage", str(passage), "--question", "Who? " * 100]) == 0
    assert capsys.readouterr().out.startswith("Who? Who?")


def test_number_of_answers_must_be_positive(run, passage):
    with pytest.raises(RecipeError, match="n_best must be at least 1, got 0"):
        list(verbs.predict(run, passage=passage, question="Who?", n_best=0))


def test_squad_file_is_answered_and_kept_as_the_official_scripts_read_it(run, questions, tmp_path):
    replies = list(verbs.predict(run, [questions / "test.json"], out=tmp_path / "answers.json"))
    assert not any(isinstance(reply, Failure) for reply in replies)
    assert json.loads((tmp_path / "answers.json").read_text()) == {reply.name: reply.text for reply in replies}


def test_several_answers_are_given_on_request(run, passage):
    (reply,) = verbs.predict(run, passage=passage, question="Who?", n_best=3)
    assert len(reply.candidates) == 3


@pytest.mark.parametrize("options", [{}, {"question": "Who?"}, {"inputs": ["a.jsonl"], "question": "Who?"}])
def test_nothing_to_answer_is_refused(run, options):
    with pytest.raises(RecipeError, match="nothing to answer: name files of questions, or a text: --passage FILE"):
        list(verbs.predict(run, **options))


def test_missing_passage_is_told(run, tmp_path):
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        list(verbs.predict(run, passage=tmp_path / "none.txt", question="Who?"))


def test_evaluation_is_kept_and_reported(run):
    report = verbs.report(run)
    assert report.sections[0].table.rows[0].cells[0] == "network"
    assert verbs.figures(run).sections[0] == report.sections[0]
    assert "Calibration" in (run / "report.html").read_text()
    assert verbs.compare([run]).headline == "1 runs side by side"


def test_data_are_checked_and_shown(questions, tmp_path, capsys):
    assert main(["data", str(questions), "--task", "reading", "--preview", str(tmp_path / "some.txt")]) == 0
    text = capsys.readouterr().out
    for words in ("passages", "tokens of a question", "train questions, by default", "Answers and tokens"):
        assert words in text
    assert "«" in (tmp_path / "some.txt").read_text()


def test_words_with_vectors_are_told_on_request(questions, tmp_path, capsys):
    (tmp_path / "glove.txt").write_text("the 1 2\nis 3 4\n")
    assert main(["data", str(questions), "--task", "reading", "--vectors", str(tmp_path / "glove.txt")]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "words of the passages" in line]
    assert re.search(r"\d+\.\d % of \d+ words, \d+\.\d % of \d+ distinct ones, have vectors", row)


def test_vectors_are_refused_where_there_are_no_words(tmp_path):
    with pytest.raises(RecipeError, match="--vectors is an option of --task reading alone, not of restore"):
        verbs.data(str(tmp_path), task="restore", vectors="glove.txt")
