import subprocess
import sys

import pytest

from modicum.exporting import ExportError, replaced_folder
from modicum.storage.errors import OutputError
from modicum.storage.outputs import LIST_NAME


def fill(folder, text):
    with replaced_folder(folder) as new:
        (new / "manifest.json").write_text(text)
        (new / "net.onnx").write_text(text)


def test_folder_and_parents_are_made(tmp_path):
    fill(tmp_path / "a" / "b", "new")
    assert (tmp_path / "a" / "b" / "net.onnx").read_text() == "new"


def test_an_earlier_export_is_replaced_whole(tmp_path):
    fill(tmp_path / "out", "old")
    fill(tmp_path / "out", "new")
    assert {p.name: p.read_text() for p in (tmp_path / "out").glob("[!.]*")} == {
        "manifest.json": "new",
        "net.onnx": "new",
    }


def test_export_from_before_there_were_lists_is_replaced(tmp_path):
    fill(tmp_path / "out", "old")
    (tmp_path / "out" / LIST_NAME).unlink()
    fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "net.onnx").read_text() == "new"


@pytest.mark.parametrize("name", ["net.onnx", "other.onnx"])
def test_graph_that_the_user_put_there_or_changed_is_kept_with_all_of_the_export(name, tmp_path):
    fill(tmp_path / "out", "old")
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"e\.g\. {name}: name a new or empty folder with --out, or pass --force"):
        fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_folder_of_graphs_that_is_no_export_is_refused(tmp_path):
    (tmp_path / "mine.onnx").write_text("mine")
    with pytest.raises(OutputError, match=r"e\.g\. mine\.onnx"):
        fill(tmp_path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.onnx"]


def test_a_failure_leaves_the_earlier_export_and_nothing_else(tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(TypeError, match="data must be str"):
        fill(tmp_path / "out", None)
    assert (tmp_path / "out" / "net.onnx").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ExportError, match=r"holds files that are no export, e\.g\. photo\.jpg"):
        fill(tmp_path, "new")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ExportError, match="is a file: name a folder"):
        fill(tmp_path / "out", "new")


def test_what_an_export_has_beside_graphs_is_replaced_with_it(tmp_path):
    for content in ("old", "new"):
        with replaced_folder(tmp_path / "export", others=["words"]) as new:
            (new / "words").mkdir()
            (new / "words" / "list.json").write_text(content)

    assert (tmp_path / "export" / "words" / "list.json").read_text() == "new"
    with (
        pytest.raises(ExportError, match=r"holds files that are no export, e\.g\. words"),
        replaced_folder(tmp_path / "export"),
    ):
        pass


def leave(folder, kind, mark="99-0123abcd"):
    """What a process leaves that is killed while it exports to ``folder``."""
    left = folder.with_name(f".{folder.name}.{mark}.{kind}.tmp")
    left.mkdir(parents=True)
    (left / "manifest.json").write_text(kind)
    return left


@pytest.mark.parametrize("has_lock", [True, False])
def test_what_a_killed_export_left_is_removed(tmp_path, has_lock):
    leave(tmp_path / "out", "new")
    if has_lock:
        (tmp_path / ".out.99-0123abcd.lock.tmp").touch()
    fill(tmp_path / "out", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folder_of_a_living_export_stays(tmp_path):
    left = leave(tmp_path / "out", "new")
    lock = tmp_path / ".out.99-0123abcd.lock.tmp"
    hold = f"file = open({str(lock)!r}, 'a+'); fcntl.lockf(file, fcntl.LOCK_EX)"
    code = f"import fcntl, sys; {hold}; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        living.stdout.readline()
        fill(tmp_path / "out", "text")
        assert left.exists()
        living.stdin.close()
        living.wait()
    fill(tmp_path / "out", "text")
    assert not left.exists()


def test_export_that_a_killed_one_had_moved_aside_comes_back(tmp_path):
    leave(tmp_path / "out", "old")
    with pytest.raises(TypeError, match="data must be str"):
        fill(tmp_path / "out", None)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_text() == "old"
