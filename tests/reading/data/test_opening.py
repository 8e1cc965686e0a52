import pytest

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.opening import open_source
from modicum.reading.data.problems import ProblemKind
from modicum.reading.data.squad import write_squad
from modicum.storage.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Function that writes corpora of one question each to files of these names and returns the folder."""

    def write(*names, version="1.1"):
        for name in names:
            question = Question(name, "What?", (Answer("blue", 0),))
            write_squad(tmp_path / name, Corpus((Passage("blue", (question,), name),), version))
        return tmp_path

    return write


def ids(source):
    return {part: [asked.question.id for asked in corpus.asked()] for part, corpus in source.given.items()}


def test_no_source_is_the_look_up_task():
    source = open_source(None, seed=2)
    assert source.origin == "embedded:procedural-look-up"
    assert source.name == "procedural look-up task: made-up facts about made-up entities, seed 2"
    assert list(source.given) == ["train", "calibration", "test"]


def test_file_alone_is_to_be_divided(folder):
    source = open_source(folder("a.json") / "a.json")
    assert (ids(source), source.name) == ({"train": ["a.json"]}, "1 question in a.json")


def test_names_of_files_say_what_they_are(folder):
    source = open_source(folder("train-v1.1.json.gz", "dev-v1.1.json", "test.json", "readme.txt"))
    assert ids(source) == {"train": ["train-v1.1.json.gz"], "calibration": ["dev-v1.1.json"], "test": ["test.json"]}


def test_dev_is_the_test_where_there_is_no_other(folder):
    assert ids(open_source(folder("train.json", "dev.json"))) == {"train": ["train.json"], "test": ["dev.json"]}


def test_of_several_files_that_of_the_same_version_counts(folder):
    folder("dev-v2.0.json", version="2.0")
    assert ids(open_source(folder("train.json", "dev-v1.1.json")))["test"] == ["dev-v1.1.json"]


def test_several_files_of_a_kind_are_refused(folder):
    with pytest.raises(DataError, match=r"holds several files for train, 'train-a.json', 'train-b.json': leave one"):
        open_source(folder("train-a.json", "train-b.json"))


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_shards_of_a_part_are_joined_in_their_order(folder, suffix):
    names = [f"train-0000{number}-of-00003.{suffix}" for number in (0, 1, 2)]
    files = folder(*names[::-1], "test-00000-of-00001.json")
    assert ids(open_source(files)) == {"train": names, "test": ["test-00000-of-00001.json"]}


def test_rows_without_ids_are_told_apart_in_joined_shards(tmp_path):
    for number in (0, 1):
        rows = f"context,question,answer\nThe sea is blue.,What is {number}?,sea\n"
        (tmp_path / f"train-0000{number}-of-00002.csv").write_text(rows)
    source = open_source(tmp_path)
    assert (ids(source), len(source.given["train"].passages)) == ({"train": ["train-1", "train-2"]}, 1)


def test_missing_shard_is_named(folder):
    files = folder("train-00000-of-00003.json", "train-00002-of-00003.json")
    with pytest.raises(DataError, match=r"lacks 'train-00001-of-00003\.json': put all 3 files there"):
        open_source(files)


def test_folder_without_training_is_refused(folder):
    with pytest.raises(DataError, match=r"must hold a file with 'train' in its name, but holds 'dev.json'"):
        open_source(folder("dev.json"))


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"but holds no file of questions, .json, .* or .parquet: name the file itself"):
        open_source(tmp_path)


def test_tables_are_found_by_their_names(tmp_path):
    for name in ("train.csv", "validation.tsv", "test.jsonl"):
        mark = {"tsv": "\t"}.get(name.split(".")[1], ",")
        (tmp_path / name).write_text(f"context{mark}question{mark}answer\nblue {name}{mark}What?{mark}blue\n")
    (tmp_path / "test.jsonl").write_text('{"context": "blue", "question": "What?", "answers": ["blue"]}\n' * 2)
    found = ids(open_source(tmp_path))
    assert found == {"train": ["train-1"], "calibration": ["validation-1"], "test": ["test-1", "test-2"]}


def test_problems_are_told_or_refused(folder):
    path = folder("a.json") / "a.json"
    path.write_text(path.read_text().replace('"answer_start": 0', '"answer_start": 3'))
    assert [problem.kind for problem in open_source(path).problems] == [ProblemKind.WRONG_OFFSET]
    with pytest.raises(DataError, match=r"1 answer stood elsewhere.*mend the file, or go on without `strict`"):
        open_source(path, strict=True)
