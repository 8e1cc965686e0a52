import importlib.util
import random
from pathlib import Path

import pytest

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.squad import write_squad

PATH = Path(__file__).parents[3] / "benchmarks" / "realignment.py"
SENTENCES = {
    "In 1873 the railway company of Zurich opened its first station.": "the railway company of Zurich",
    "Anna Keller, who had studied law, wrote three novels about the mountain villages.": "three novels",
    "After the war, most of the factories moved to the southern provinces.": "the southern provinces",
    "The bridge was built by Italian masons between 1204 and 1209.": "Italian masons",
}


def load_benchmark():
    spec = importlib.util.spec_from_file_location("realignment", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()


@pytest.fixture
def corpus():
    """A question for each sentence, and one that has no answer."""
    text = " ".join(SENTENCES)
    answers = [Answer(answer, text.index(answer)) for answer in SENTENCES.values()]
    questions = [Question(f"q{number}", "What?", (answer,)) for number, answer in enumerate(answers)]
    return Corpus((Passage(text, (*questions, Question("none", "Why?", (), impossible=True))),), "2.0")


def test_sentences_hold_their_answers(corpus):
    marked = benchmark.marked_sentences(corpus, seed=0)
    assert {each.sentence: each.answer.text for each in marked} == SENTENCES
    assert all(each.sentence[each.answer.start : each.answer.end] == each.answer.text for each in marked)


def test_answer_is_known_after_all_else_was_deleted(corpus):
    for marked in benchmark.marked_sentences(corpus, seed=0):
        changed = benchmark.change(marked, benchmark.Damage(1.0, 0.0, moves=True), random.Random(0))
        assert (changed.sentence.strip(), changed.answer.text) == (marked.answer.text, marked.answer.text)


def test_answer_is_known_after_inflection_and_a_move():
    marked = benchmark.Marked("When it rained, they built walls there.", Answer("built walls", 21))
    changed = benchmark.change(marked, benchmark.Damage(0.0, 1.0, moves=True), random.Random(0))
    assert changed.sentence.lstrip().startswith("the")  # what stood before the comma stands last
    assert changed.answer.text.startswith("built")
    assert changed.answer.text.endswith(" wall")
    assert changed.sentence[changed.answer.start : changed.answer.end] == changed.answer.text


def test_without_damage_nothing_changes(corpus):
    for marked in benchmark.marked_sentences(corpus, seed=0):
        assert benchmark.change(marked, benchmark.Damage(0.0, 0.0, moves=False), random.Random(0)) == marked


def test_replaced_answer_shares_no_letters_with_the_old_one(corpus):
    for marked in benchmark.marked_sentences(corpus, seed=0):
        assert set(benchmark.replace_answer(marked).answer.text) <= set("qx ")


def test_table_says_what_was_found_again(corpus, tmp_path, capsys, monkeypatch):
    write_squad(tmp_path / "some.json", corpus)
    monkeypatch.setattr("sys.argv", ["realignment.py", str(tmp_path / "some.json"), "--check"])
    benchmark.main()
    text = capsys.readouterr().out
    assert text.startswith("4 sentences, seed 0;")
    assert "| 20% deleted, 30% inflected, clause moved | 100.0% | 0.0% | 0.0% | yes |" in text
    assert text.endswith("answers replaced by words unlike them: 100.0% rejected\n")


def test_missed_target_ends_with_1(corpus, tmp_path, capsys, monkeypatch):
    write_squad(tmp_path / "some.json", corpus)
    monkeypatch.setattr("sys.argv", ["realignment.py", str(tmp_path / "some.json"), "--check"])
    monkeypatch.setattr(benchmark, "realign", lambda *texts: None)
    with pytest.raises(SystemExit) as stop:
        benchmark.main()
    assert stop.value.code == 1
    assert "| 0.0% | 0.0% | 100.0% | no |" in capsys.readouterr().out
