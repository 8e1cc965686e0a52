from types import SimpleNamespace

import pytest

from modicum.datasets.scan import Scan, inspect_all, log_left_out, require_clean
from modicum.datasets.sources import Record
from modicum.prediction import Failure
from modicum.storage.errors import DataError

SOURCE = SimpleNamespace(origin="the set", records=tuple(Record(name, None) for name in "abcd"), unread=("e.heic",))
BAD = Failure("b", "it is broken")


def look(index):
    if index == 1:
        raise DataError("it is broken")
    return "xyxx"[index]


def scanned():
    return Scan.of(SOURCE, inspect_all(SOURCE, look))


def test_samples_are_told_apart_in_order():
    assert scanned() == Scan((0, 2, 3), ("x", "x", "x"), (BAD,), ("e.heic",))


def test_progress_counts_every_sample():
    seen = []
    inspect_all(SOURCE, look, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_copies_are_counted():
    assert (scanned().copies, Scan((0, 1), ("x", "y")).copies) == (2, 0)


def test_copies_with_different_annotations_are_left_out():
    assert scanned().without_contradictions(SOURCE, [1, 0, 1, 1]).contradictions == ()
    left = scanned().without_contradictions(SOURCE, [1, 0, 1, 2])
    assert (left.good, left.digests, left.contradictions) == ((), (), (("a", "c", "d"),))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Scan((), (), (BAD,)), r"1 image\(s\) of the set cannot be used:\n  b: it is broken"),
        (Scan((), (), unread=("e.heic",)), r"the set is not clean:\n  1 file of the set is not read for its suffix"),
        (Scan((), (), contradictions=(("a", "c"),)), "contradiction: a, c are one image with different annotations"),
    ],
)
def test_what_is_left_out_can_be_refused(found, message):
    with pytest.raises(DataError, match=message):
        require_clean(found, "the set")


def test_what_is_left_out_is_named_in_the_log(caplog):
    log_left_out(scanned(), "the set")
    assert caplog.messages[0] == "left out b: it is broken"
    assert caplog.messages[1].startswith("1 file of the set is not read")
