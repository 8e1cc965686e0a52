import contextlib
from types import SimpleNamespace

import pytest
import torch

from modicum.measuring import timing
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to; add to ``clock.now``."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_runs_take_turns():
    order = []
    time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warm_up=1)
    assert "".join(order) == "abababab"


def test_times_are_medians_without_the_warm_up(clock):
    def take(durations):
        durations = iter(durations)

        def run():
            clock.now += next(durations)

        return run

    seconds = time_in_turn({"a": take([100, 3, 1, 8]), "b": take([0, 50, 60, 40])}, rounds=3)
    assert seconds == {"a": 3, "b": 50}


def test_device_is_waited_for_before_the_clock_is_read(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: events.append("wait"))
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: events.append("clock") or 0.0))
    time_in_turn({"a": lambda: events.append("run")}, rounds=1, warm_up=0)
    assert events == ["wait", "clock", "run", "wait", "clock"]


def test_nothing_takes_no_time():
    assert time_in_turn({}) == {}


def test_at_least_one_round_is_needed():
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        time_in_turn({"a": lambda: None}, rounds=0)


def test_threads_are_limited_inside_and_as_before_afterwards():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_as_before_after_an_error():
    before = torch.get_num_threads()
    with contextlib.suppress(KeyError), limited_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_one_thread_is_singular():
    assert [threads_text(number) for number in (1, 2)] == ["1 thread", "2 threads"]


def test_device_has_a_name_for_readers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {device.index}")
    assert device_name(torch.device("cuda", 1)) == "GPU number 1"
    assert device_name(torch.device("cpu")) == "cpu"
