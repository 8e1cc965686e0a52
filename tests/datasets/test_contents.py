import pytest

from modicum.datasets.contents import check_content, keep_content, sample_digest
from modicum.storage import DataError, RunError, RunFolder
from modicum.storage.sealing import write_sealed

TEXTS = {"a": "one", "b": "two", "c": "three"}
PARTS = {"train": ["a", "b"], "test": ["c"]}


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    keep_content(run, PARTS, digest_in(TEXTS))
    return run


def digest_in(texts):
    def digest(name):
        if texts[name] is None:
            raise DataError("gone")
        return sample_digest(texts[name].encode())

    return digest


def test_lost_splits_of_a_trained_run_are_not_drawn_anew(run):
    run.weights.write_bytes(b"trained")
    with pytest.raises(RunError, match=r"splits\.json is missing, although .* has been trained: put a copy back"):
        keep_content(run, PARTS, digest_in(TEXTS))


def test_unchanged_samples_are_accepted(run):
    check_content(run, PARTS, digest_in(TEXTS), "texts/")


@pytest.mark.parametrize("text", ["other", None])
def test_changed_or_unreadable_sample_is_named(run, text):
    with pytest.raises(DataError, match=r"^1 of 3 samples of texts/ are not what .* was begun with: 'b' changed; put"):
        check_content(run, PARTS, digest_in(TEXTS | {"b": text}), "texts/")


def test_parts_that_are_not_used_are_not_read(run):
    check_content(run, {"test": ["c"]}, digest_in(TEXTS | {"b": "other"}), "texts/")


def test_run_that_never_noted_its_samples_is_refused_with_what_to_do(run):
    run.content.unlink()
    with pytest.raises(DataError, match=rf"content\.json is missing: .* modicum adopt {run.path}"):
        check_content(run, PARTS, digest_in(TEXTS), "texts/")


def test_run_that_was_taken_over_is_not_compared(run):
    write_sealed(run.content, {"samples": None})
    check_content(run, PARTS, digest_in(TEXTS | {"b": "other"}), "texts/")


def test_digest_tells_where_one_part_ends():
    assert sample_digest(b"ab", b"c") != sample_digest(b"a", b"bc")
