from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.alignment import Span
from modicum.reading.data.windows import widest_view, windows


@given(st.integers(1, 500), st.data())
def test_windows_cover_the_passage_and_are_not_longer_than_allowed(num_tokens, data):
    length = data.draw(st.integers(1, 200))
    stride = data.draw(st.integers(1, length))
    pieces = windows(num_tokens, length, stride)
    assert {place for piece in pieces for place in piece} == set(range(num_tokens))
    assert all(len(piece) == min(length, num_tokens) for piece in pieces)
    assert all(0 < after.start - before.start <= stride for before, after in pairwise(pieces))


def test_windows_of_a_long_passage():
    assert windows(706, 400, 128) == [range(0, 400), range(128, 528), range(256, 656), range(306, 706)]


def test_last_window_is_not_made_twice():
    assert windows(528, 400, 128) == [range(0, 400), range(128, 528)]


@pytest.mark.parametrize("numbers", [(0, 4, 2), (9, 4, 0), (9, 4, 5)])
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="1 <= stride <= length, got"):
        windows(*numbers)


def test_view_with_the_most_context_is_taken():
    assert widest_view([range(0, 10), range(5, 15), range(8, 18)], Span(8, 9)) == range(5, 15)


def test_span_that_no_window_holds_has_no_view():
    assert widest_view([range(0, 10), range(5, 15)], Span(4, 11)) is None
