"""A training that is stopped by a signal says so in one line, leaves no process, and goes on to the same result."""

import multiprocessing
import signal

import pytest
import torch
from safetensors.torch import load_file

from modicum.cli import main
from modicum.graphs import training as graphs_training
from modicum.stopping import EXIT_CODE, Terminated, terminable
from modicum.training.checkpoints import AtomicCheckpointIO

pytestmark = pytest.mark.usefixtures("hurried")
SEARCH = ("--max-error", "0.12", "--image.side", "16", "--search.rounds", "6", "--baselines", "false")
SIGNALS = pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
    ids=["SIGTERM", "SIGINT"],
)


@pytest.fixture
def stop_after(monkeypatch):
    """Function that sends this process a signal, as soon as something has been called so many times."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs do not hear it

    def arrange(place, name, calls, number):
        call, done = getattr(place, name), []

        def stop(*args, **kwargs):
            call(*args, **kwargs)
            done.append(args)
            if len(done) == calls:
                signal.raise_signal(number)

        monkeypatch.setattr(place, name, stop)

    yield arrange
    signal.signal(signal.SIGINT, before)


def assert_same_weights(one, other):
    ours, theirs = (load_file(run / "model.safetensors") for run in (one, other))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.fixture
def stopped(stop_after, digit_folder, tmp_path):
    """Function from a signal to the exit code of a training that gets it at its third checkpoint, and its folder."""

    def train(number):
        out = tmp_path / "a run"
        stop_after(AtomicCheckpointIO, "save_checkpoint", 3, number)
        data = ("--data", str(digit_folder))
        return main(["train", "static", "--recipe", "static-quick", *data, "--out", str(out)]), out

    return train


@SIGNALS
def test_stopped_training_says_in_one_line_how_to_go_on(number, code, told, stopped, capsys):
    told_code, out = stopped(number)
    assert told_code == code
    assert capsys.readouterr().err == f"{told}; go on with: modicum train static --resume --out '{out}'\n"


def test_stopped_training_goes_on_to_the_same_weights(stopped, quick_run, monkeypatch):
    straight, (_, out) = quick_run("static"), stopped(signal.SIGTERM)
    monkeypatch.undo()
    assert list(out.rglob("last.ckpt"))
    assert main(["train", "static", "--resume", "--out", str(out)]) == 0
    assert_same_weights(out, straight)


@pytest.fixture
def stopped_search(stop_after, tmp_path, monkeypatch):
    """Function from a signal to the exit code of a search in two processes that gets it, and its folder."""
    pytest.importorskip("skimage", reason="the graphs extra is not installed")
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def train(number):
        stop_after(graphs_training, "append_jsonl", 2, number)
        return main(["train", "graphs", *SEARCH, "--out", str(tmp_path / "run")]), tmp_path / "run"

    return train


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)], ids=["SIGTERM", "SIGINT"])
def test_stopped_search_leaves_no_worker(number, code, stopped_search):
    assert stopped_search(number)[0] == code
    assert multiprocessing.active_children() == []


def test_search_that_sigterm_ended_goes_on_to_the_same_graph(stopped_search, tmp_path, monkeypatch, capsys):
    _, out = stopped_search(signal.SIGTERM)
    assert f"go on with: modicum train graphs --resume --out {out}" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["train", "graphs", "--resume", "--out", str(out)]) == 0
    assert main(["train", "graphs", *SEARCH, "--out", str(tmp_path / "straight")]) == 0
    assert_same_weights(out, tmp_path / "straight")


@SIGNALS
def test_stop_before_anything_is_written_does_not_speak_of_resuming(number, code, told, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("modicum.verbs.training.check_packages", lambda system: signal.raise_signal(number))
    assert main(["train", "static", "--out", str(tmp_path / "run")]) == code
    assert capsys.readouterr().err == f"{told}; nothing had been written yet\n"


def get_sigterm(then):
    """Gets the signal, and while that takes effect, something else happens."""
    with terminable():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            then()


def test_sigterm_counts_where_something_else_fails_because_of_it():
    with pytest.raises(Terminated):
        get_sigterm(lambda: int("a worker of a data loader was killed"))


def test_sigterm_that_comes_twice_is_one():
    with pytest.raises(Terminated) as caught:
        get_sigterm(lambda: signal.raise_signal(signal.SIGTERM))
    assert caught.value.__context__ is None


def test_sigterm_does_what_it_did_once_the_block_is_left():
    before = signal.getsignal(signal.SIGTERM)
    with terminable():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_exit_code_is_that_of_a_process_that_the_signal_killed():
    assert EXIT_CODE == 143
