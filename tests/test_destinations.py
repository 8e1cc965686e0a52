import os
from pathlib import Path

import pytest

from modicum.destinations import claim_file, gather_files, in_order, names_a_file, place_outputs
from modicum.imaging.files import expand_inputs
from modicum.prediction import Failure
from modicum.storage.errors import DataError, OutputError, RecipeError


def as_png(place: Path, _: Path) -> list[Path]:
    return [place.with_suffix(".png")]


@pytest.mark.parametrize(
    "name", ["out.png", "out.bmp", "out.GIF", "out.heic", "a/b.csv", "x.json", "y.tiff", "z.jxl", "w.jfif"]
)
def test_name_with_the_suffix_of_a_file_is_a_file_whatever_can_be_written(name):
    assert names_a_file(name)


@pytest.mark.parametrize("name", ["out", "out/", "out.png/", "results.v2", "2026.07.01", "."])
def test_slash_or_unknown_suffix_makes_a_folder(name):
    assert not names_a_file(name)


def test_what_stands_there_decides(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("x")
    assert not names_a_file(tmp_path / "folder.png")
    assert names_a_file(tmp_path / "file")


@pytest.mark.parametrize("name", ["out.bmp", "out.gif"])
def test_format_that_cannot_be_written_is_refused_with_those_that_can(name, tmp_path):
    with pytest.raises(RecipeError, match=rf"{name} cannot be written: \.\w+ is none of \.png, \.tif"):
        place_outputs(["a.png"], [Path("a.png")], tmp_path / name, as_png, writable=(".png", ".tif"))
    assert not (tmp_path / name).exists()


def test_file_is_refused_where_several_are_written_for_each_input():
    with pytest.raises(RecipeError, match=r"mask\.png is a file, but several are written"):
        place_outputs(["a.png"], [Path("a.png")], "mask.png", as_png)


def test_files_of_a_folder_keep_their_place_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [Path("dcim/100/IMG_1.jpg"), Path("dcim/101/IMG_1.jpg"), Path("dcim/b.jpg")]
    Path("dcim").mkdir()
    places = place_outputs(["dcim"], files, "out", as_png)
    assert places == [Path("out/100/IMG_1.jpg"), Path("out/101/IMG_1.jpg"), Path("out/b.jpg")]


def test_files_of_a_pattern_keep_their_place_below_where_it_begins():
    files = [Path("dcim/100/IMG_1.jpg"), Path("dcim/101/IMG_1.jpg")]
    assert place_outputs(["dcim/*/*.jpg"], files, "out", as_png) == [
        Path("out/100/IMG_1.jpg"),
        Path("out/101/IMG_1.jpg"),
    ]


def test_files_that_are_named_one_by_one_keep_their_folders_only_where_names_clash():
    apart, alike = [Path("100/a.jpg"), Path("101/b.jpg")], [Path("x/100/a.jpg"), Path("x/101/a.png")]
    assert place_outputs(apart, apart, "out", as_png) == [Path("out/a.jpg"), Path("out/b.jpg")]
    assert place_outputs(alike, alike, "out", as_png) == [Path("out/100/a.jpg"), Path("out/101/a.png")]


def test_inputs_that_would_still_be_written_to_one_place_are_refused():
    files = [Path("100/a.jpg"), Path("100/a.png")]
    with pytest.raises(RecipeError, match=r"100/a\.jpg and 100/a\.png would both be written as out/"):
        place_outputs(files, files, "out", as_png)


def test_file_of_the_user_is_kept_but_for_force(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="was not written by modicum"):
        place_outputs(["x/a.jpg"], [Path("x/a.jpg")], tmp_path, as_png)
    place_outputs(["x/a.jpg"], [Path("x/a.jpg")], tmp_path, as_png, force=True)


def test_folder_is_refused_where_one_file_is_written(tmp_path):
    for out in (tmp_path, f"{tmp_path}/new/"):
        with pytest.raises(OutputError, match="is a folder: name a file"):
            claim_file(out, force=True)


def test_entry_that_means_no_file_costs_only_itself_and_keeps_its_place(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").touch()
    entries = [None, tmp_path / "a.png", tmp_path / "empty", 7, f"{tmp_path}/*.jpg", f"{tmp_path}/*.png"]
    found, used = gather_files(entries, expand_inputs)
    assert used == [tmp_path / "a.png", f"{tmp_path}/*.png"]
    reasons = [each if isinstance(each, str) else each.reason.split(": ")[0] for each in in_order(found, iter("ab"))]
    assert reasons == [
        "NoneType is no path of a file",
        "a",
        f"{tmp_path / 'empty'} holds no image",
        "int is no path of a file",
        f"{tmp_path}/*.jpg holds no image",
        "b",
    ]


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "a\0b.png"])
def test_what_cannot_be_read_to_its_end_costs_only_itself(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("a.png").touch()
    found, used = gather_files([name, "a.png"], expand_inputs)
    assert isinstance(found[0], Failure)
    assert (found[0].name, found[1], used) == (name, Path("a.png"), ["a.png"])


def test_only_entry_without_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        gather_files([tmp_path], expand_inputs)


def test_names_that_no_file_can_have_are_left_to_be_reported_with_the_others():
    files = [Path("a\0b.png"), Path("x" * 5000), Path("c.png")]
    assert place_outputs(files, files, "out", lambda place, _: [place])[2] == Path("out/c.png")
