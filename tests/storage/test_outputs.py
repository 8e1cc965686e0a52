import os
from pathlib import Path

import pytest

from modicum.storage.errors import OutputError
from modicum.storage.outputs import LIST_NAME, claim, foreign_files, list_outputs, write_output


def test_own_output_may_be_replaced_by_a_later_call(tmp_path):
    write_output(tmp_path / "new" / "a.txt", "first")
    claim([tmp_path / "new" / "a.txt"])
    write_output(tmp_path / "new" / "a.txt", "second")
    assert (tmp_path / "new" / "a.txt").read_text() == "second"


def test_file_of_the_user_is_refused_before_and_while_writing_and_stays(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    message = r"a\.txt' was not written by modicum, or has been changed since, .* or pass --force"
    with pytest.raises(OutputError, match=message):
        claim([tmp_path / "b.txt", tmp_path / "a.txt"])
    with pytest.raises(OutputError, match=message):
        write_output(tmp_path / "a.txt", "theirs")
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_output_that_was_changed_since_is_the_users(tmp_path):
    write_output(tmp_path / "a.txt", "ours")
    (tmp_path / "a.txt").write_text("edited")
    with pytest.raises(OutputError, match="changed since"):
        write_output(tmp_path / "a.txt", "ours again")
    assert (tmp_path / "a.txt").read_text() == "edited"


def test_listed_file_of_another_name_does_not_count(tmp_path):
    write_output(tmp_path / "a.txt", "same")
    (tmp_path / "b.txt").write_text("same")
    with pytest.raises(OutputError, match=r"b\.txt"):
        claim([tmp_path / "b.txt"])


def test_force_lets_what_stands_there_be_replaced_and_nothing_that_comes_later(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    claim([tmp_path / "a.txt", tmp_path / "b.txt"], force=True)
    (tmp_path / "b.txt").write_text("mine, too")
    write_output(tmp_path / "a.txt", "theirs")
    with pytest.raises(OutputError, match=r"b\.txt"):
        write_output(tmp_path / "b.txt", "theirs")
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == ["theirs", "mine, too"]


@pytest.mark.parametrize("alias", [Path.symlink_to, Path.hardlink_to])
def test_input_is_not_written_over_by_any_of_its_names_even_with_force(tmp_path, alias):
    (tmp_path / "photo.png").write_bytes(b"mine")
    alias(tmp_path / "other.png", tmp_path / "photo.png")
    for source, target in (("photo.png", "other.png"), ("other.png", "photo.png"), ("photo.png", "x/../photo.png")):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(OutputError, match="would take the place of the input"):
            claim([tmp_path / target], inputs=[tmp_path / source], force=True)


def test_link_of_the_user_is_kept_and_with_force_replaced_but_not_what_it_leads_to(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    (tmp_path / "a.txt").symlink_to("kept.txt")
    (tmp_path / "b.txt").symlink_to("nowhere.txt")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(OutputError, match=name):
            write_output(tmp_path / name, "theirs")
        claim([tmp_path / name], force=True)
        write_output(tmp_path / name, "theirs")
    assert (tmp_path / "kept.txt").read_text() == "mine"
    assert not (tmp_path / "nowhere.txt").exists()


def test_what_can_be_no_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for target, message in (
        ("folder", "is a folder"),
        ("pipe", "no regular file"),
        ("file/a.txt", "file is no folder"),
    ):
        with pytest.raises(OutputError, match=message):
            claim([tmp_path / target], force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_to_is_refused_before_the_work(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="closed may not be written to"):
        claim([tmp_path / "closed" / "new" / "a.txt"])


def test_names_that_are_not_utf8_are_listed(tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9.txt")
    write_output(place, "ours")
    claim([place])
    (tmp_path / LIST_NAME).read_bytes().decode("utf-8")


def test_list_that_was_lost_or_damaged_makes_all_files_the_users(tmp_path):
    write_output(tmp_path / "a.txt", "ours")
    (tmp_path / LIST_NAME).write_bytes(b"\x00{[\n")
    with pytest.raises(OutputError):
        claim([tmp_path / "a.txt"])


def test_missing_inputs_and_names_that_no_file_can_have_are_no_reason_to_refuse(tmp_path):
    claim([tmp_path / "a.txt"], inputs=[tmp_path / "missing.png", Path("a\0b.png")])


def test_files_of_a_listed_folder_are_told_from_those_of_the_user(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.json").write_text("1")
    list_outputs(tmp_path)
    assert foreign_files(tmp_path) == []
    (tmp_path / "words" / "b.json").write_text("1")
    (tmp_path / "words" / "a.json").write_text("2")
    assert foreign_files(tmp_path) == ["words/a.json", "words/b.json"]
