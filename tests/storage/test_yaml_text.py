import pytest

from modicum.storage import RecipeError
from modicum.storage.yaml_text import MAX_BYTES, parse_mapping, read_bounded

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
)


def test_mapping_is_read():
    assert parse_mapping("\ufefflr: 0.1\nnames: [é]\n".encode(), "recipe") == {"lr": 0.1, "names": ["é"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), r"references are not allowed \(\*name, line 2\)"),
        (b"a: " + b"[" * 5000, r"nested more than 20 deep \(line 1\)"),
        (b"[" * 5000 + b"]" * 5000, r"nested more than 20 deep"),
        ("lr: 0.1\n".encode("utf-16"), "is not UTF-8, line 1: save it as UTF-8"),
        ("a: 1\nname: é\n".encode("latin-1"), "is not UTF-8, line 2: save it as UTF-8"),
        (b"a: {", "is not valid YAML"),
        (b"a: 2024-13-45", "is not valid YAML"),
        (b"- 1", "must be a mapping of options to values, got list"),
        (b"\x00", "is not valid YAML"),
        (b"", "must be a mapping of options to values, got NoneType"),
    ],
)
def test_unusable_text_is_one_error_that_names_the_file(content, message):
    with pytest.raises(RecipeError, match=f"^recipe r.yaml {message}|^recipe r.yaml is not valid YAML: .*{message}"):
        parse_mapping(content, "recipe r.yaml")


def test_long_file_is_not_read(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(RecipeError, match="has 1,000,001 bytes, more than any recipe"):
        read_bounded(tmp_path / "r.yaml")
