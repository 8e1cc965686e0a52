import json

import pytest

from modicum.storage import DataError
from modicum.storage.sealing import read_sealed, write_sealed

CONTENT = {"knob": 0.5, "names": ("a", "é", "\udc80"), "nested": {"b": None, "a": 1e22}}


@pytest.fixture
def path(tmp_path):
    write_sealed(tmp_path / "file.json", CONTENT)
    return tmp_path / "file.json"


def read(path):
    return read_sealed(path, remedy="begin anew")


def test_what_was_written_is_read(path):
    assert read(path) == {**CONTENT, "names": ["a", "é", "\udc80"]}


def test_order_of_keys_and_white_space_do_not_matter(path):
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert read(path)["knob"] == 0.5


@pytest.mark.parametrize("change", [{"knob": 0.25}, {"more": 1}, {"nested": {}}, {"sha256": "0"}])
def test_changed_content_is_refused(path, change):
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"file\.json is not as it was written \(its digest differs\): begin anew$"):
        read(path)


def test_file_without_digest_is_refused_with_the_command_that_adds_one(path):
    path.with_name("run.json").touch()
    path.write_text("{}")
    with pytest.raises(DataError, match=rf"has no digest: .* take it over with: modicum adopt {path.parent}$"):
        read(path)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "[" * 5000, "{}".encode("utf-16"), '{"é": 1}'.encode("latin-1"), '{"a": 1e999999'],
    ids=["empty", "cut", "list", "brackets", "utf-16", "latin-1", "number"],
)  # fmt: skip
def test_what_is_no_json_object_is_one_error_that_names_the_file(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"^\S*file\.json .*begin anew$"):
        read(path)


def test_key_of_the_digest_cannot_be_taken(path):
    with pytest.raises(ValueError, match="the key 'sha256' is that of the file's own digest"):
        write_sealed(path, {"sha256": 1})
