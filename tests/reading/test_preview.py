from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.squad import write_squad
from modicum.reading.preview import NUM_SHOWN, write_preview


def test_questions_are_shown_with_their_answers_marked(tmp_path):
    questions = (Question("a", "What falls?", (Answer("rain", 4),)), Question("b", "Why?", (), impossible=True))
    write_squad(tmp_path / "set.json", Corpus((Passage("The rain falls.", questions, "Weather"),), "2.0"))
    write_preview(str(tmp_path / "set.json"), tmp_path / "preview.txt")
    assert (tmp_path / "preview.txt").read_text() == (
        "Weather\nWhat falls?\nThe «rain» falls.\n\nWeather\nWhy?\n(no answer) The rain falls.\n"
    )


def test_many_questions_are_shown_in_part_and_evenly(lookup_folder, tmp_path):
    write_preview(str(lookup_folder), tmp_path / "preview.txt")
    blocks = (tmp_path / "preview.txt").read_text().strip().split("\n\n")
    assert len(blocks) == NUM_SHOWN
    assert {block.split("-")[0] for block in blocks} >= {"train", "test"}
