import pytest

from modicum.imaging.files import expand_inputs
from modicum.storage import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/2.png", "b/3.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    return tmp_path


def names(folder, *inputs):
    return [path.relative_to(folder).as_posix() for path in expand_inputs(inputs)]


def test_folder_means_its_images_at_any_depth(folder):
    assert names(folder, folder) == ["a/0.png", "a/1.png", "b/2.png", "b/3.png"]


@pytest.mark.parametrize(("pattern", "found"), [("*/?.png", 4), ("**/*.png", 4), ("a/*.png", 2), ("b/[3-9].png", 1)])
def test_pattern_means_what_it_matches(folder, pattern, found):
    assert len(names(folder, f"{folder}/{pattern}")) == found


def test_inputs_keep_their_order(folder):
    assert names(folder, folder / "b" / "3.png", str(folder / "a")) == ["b/3.png", "a/0.png", "a/1.png"]


def test_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    file = folder / "cat[1].png"
    file.write_bytes(b"")
    assert expand_inputs([file]) == [file]


def test_missing_file_is_left_to_be_reported(folder):
    assert names(folder, folder / "none.png") == ["none.png"]


@pytest.mark.parametrize("entry", ["empty", "*.jpg"])
def test_folder_or_pattern_without_images_is_refused(folder, entry):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image: give image files, a folder of them, or a pattern"):
        expand_inputs([folder / entry])
