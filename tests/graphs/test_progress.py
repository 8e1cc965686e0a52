import io

import pytest

from modicum.graphs.progress import done_share, shown_progress
from modicum.graphs.search import Plan, Progress


@pytest.mark.parametrize(
    ("plan", "expected"),
    [(Plan(10), 0.5), (Plan(10, 20.0), 0.75), (Plan(0), 1.0), (Plan(2, 20.0), 1.0)],
)
def test_share_is_that_of_the_limit_that_is_met_first(plan, expected):
    assert done_share(plan, Progress(round=5, complexity=7, loss=0.1, seconds=15.0)) == expected


def test_nothing_is_shown_where_nobody_looks(capsys):
    with shown_progress(Plan(10), (0,), lambda loss: loss) as show:
        show(0, Progress(5, 7, 0.1, 15.0))
    assert capsys.readouterr().err == ""


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
