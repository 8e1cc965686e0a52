import io

import pytest

from modicum.graphs.progress import SearchClock, done_share, shown_progress
from modicum.graphs.search import Plan, Progress


@pytest.mark.parametrize(
    ("plan", "expected"),
    [(Plan(10), 0.5), (Plan(10, 20.0), 0.75), (Plan(0), 1.0), (Plan(2, 20.0), 1.0)],
)
def test_share_is_that_of_the_limit_that_is_met_first(plan, expected):
    assert done_share(plan, Progress(round=5, complexity=7, loss=0.1, seconds=15.0)) == expected


def stands(share, seconds=0.0):
    return Progress(round=round(10 * share), complexity=7, loss=0.0064, seconds=seconds)


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


def test_time_left_follows_from_what_was_done_since_the_first_news():
    now = Clock()
    clock = SearchClock(Plan(10), (0, 1), now)
    now.now += 100  # imports of workers
    for seed in (0, 1):
        clock.note(seed, stands(0.5))  # most of it by an earlier process
    assert clock.left() is None
    now.now += 20
    for seed in (0, 1):
        clock.note(seed, stands(0.7))
    assert clock.left() == pytest.approx(30)
    assert clock.whole() == pytest.approx(100)


def test_lines_tell_place_and_time_left_where_there_is_no_terminal(caplog):
    now = Clock()
    options = {"place": "stage 1 of 2", "later": lambda whole: whole, "now": now}
    with shown_progress(Plan(10), (0,), lambda loss: loss**0.5, **options) as show, caplog.at_level("INFO", "modicum"):
        for tenth in range(1, 6):
            show(0, stands(tenth / 10))
            now.now += 30
    assert caplog.messages[-1] == "stage 1 of 2: search, restart 1 of 1  7 parameters, error 0.08  (about 8 min left)"
    assert len(caplog.messages) == 4  # of the first news, nothing can be told


def test_quick_searches_do_not_flood(caplog):
    with shown_progress(Plan(10), (0,), lambda loss: loss) as show, caplog.at_level("INFO", "modicum"):
        for tenth in range(1, 10):
            show(0, stands(tenth / 10))
    assert caplog.messages == []


def test_terminal_shows_complexity_against_error(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress(Plan(10), (0, 1), lambda loss: loss**0.5) as show:
        show(1, Progress(5, 7, 0.0064, 15.0))
    assert "search 2: 7 parameters, error 0.08" in terminal.getvalue()
