import functools
import gc
import io
import os
import pickle
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from matplotlib.figure import Figure
from PIL import Image
from training_process import start_forked, start_training
from written_sets import write_crops, write_lookup, write_marks, write_scenes

from modicum.adaptive import efficiency
from modicum.classify.data.scenes import DigitScenes
from modicum.measuring import memory, timing
from modicum.reporting import page
from modicum.reporting.embedding import EmbeddedPlot, embed_svg
from modicum.reporting.plots.drawing import WIDE_IN, figure_to_svg
from modicum.storage.errors import RunError
from modicum.storage.files import read_jsonl
from modicum.storage.lock import locked
from modicum.storage.runs import RunFolder

pytest_plugins = ["simulated_evaluation"]

# A property is tried on 30 examples where its test names no number; with --hypothesis-profile=default on 100.
settings.register_profile("brief", settings.get_profile(settings.get_current_profile_name()), max_examples=30)
settings.load_profile("brief")

DEADLINE_S = 240  # imports alone take 15 s on two busy cores
STAMP = "MODICUM_TEST_SESSION"  # in the environment of every process that this session starts
IS_LINUX = sys.platform.startswith("linux")  # elsewhere, who started what is not to be read from /proc


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers of xdist have that of the process that started them
        os.environ[STAMP] = uuid.uuid4().hex


def pytest_collection_finish() -> None:
    gc.freeze()  # modules and tests stay to the end: the collector need not look through a million objects again


@pytest.hookimpl(trylast=True)  # xdist ends its workers before
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a session that leaves a process behind, and ends that."""
    if hasattr(session.config, "workerinput") or not IS_LINUX:
        return
    left = wait_for_end(stamped_processes, seconds=30)
    if left:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for pid in left:
            reporter.write_line(f"the tests left process {pid}: {_command_of(pid)}", red=True)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def stamped_processes() -> list[int]:
    """Processes that this session started, also through others that are gone; not this one and its own tracker."""
    mark = f"{STAMP}={os.environ[STAMP]}".encode()
    mine = os.getpid()
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = [pid for pid in numbers if pid != mine and (mark in _read(pid, "environ") or _parent_of(pid) == mine)]
    # Python keeps a tracker of shared memory and a server of forks as long as this process lives; they end with it.
    return [pid for pid in found if is_alive(pid) and not (_parent_of(pid) == mine and _is_pythons_own(pid))]


def descendants_of(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()] if IS_LINUX else []
    children = [number for number in numbers if _parent_of(number) == pid]
    return [*children, *(each for child in children for each in descendants_of(child))]


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, whose exit code nobody has asked for, does not."""
    return _stat_of(pid)[:1] not in ([], ["Z"], ["X"])


def wait_for_end(running: Callable[[], Iterable[int]], seconds: float = DEADLINE_S) -> list[int]:
    """What still runs when the time is up; polls, because processes end when they like."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in running() if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _parent_of(pid: int) -> int:
    return int([*_stat_of(pid)[1:2], "0"][0])


def _stat_of(pid: int) -> list[str]:
    """State, number of the parent, and more; nothing of a process that is gone."""
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()


def _is_pythons_own(pid: int) -> bool:
    return any(f"multiprocessing.{name}" in _command_of(pid) for name in ("resource_tracker", "forkserver"))


def _command_of(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it is gone by now, or not ours
        return b""


@pytest.fixture(scope="session")
def end_of_processes() -> Callable[[Iterable[int]], list[int]]:
    """Function from processes to those that do not end by themselves; skips where that cannot be told."""
    if not IS_LINUX:
        pytest.skip("reads /proc")

    def wait(pids: Iterable[int]) -> list[int]:
        kept = list(pids)
        return wait_for_end(lambda: kept)

    return wait


@pytest.fixture(scope="session")
def processes_of() -> Callable[[int], list[int]]:
    """Function from a process to all that it started; see `descendants_of`."""
    return descendants_of


@pytest.fixture(scope="session")
def processes_of_session() -> Callable[[], list[int]]:
    """Function that finds what the check at the end of the session would find now; see `stamped_processes`."""
    if not IS_LINUX:
        pytest.skip("reads /proc")
    return stamped_processes


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def encoded():
    """Function from a picture (and format, options) to the bytes of its file."""
    return encode


@pytest.fixture(scope="session")
def noise():
    """Function from a seed to a picture of 12 x 10 px that no other seed gives."""

    def make(seed: int) -> Image.Image:
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))

    return make


@pytest.fixture
def write_tree(tmp_path, noise):
    """Function that writes a different picture to each of the given paths and returns their folder."""

    def write(*paths: str, root: Path = tmp_path) -> Path:
        for number, path in enumerate(paths):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(noise(number)))
        return root

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where there is none."""
    if "MODICUM_DATA" not in os.environ:
        pytest.skip("MODICUM_DATA is not set: it points to the folder of real data sets")
    return Path(os.environ["MODICUM_DATA"])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share their cores with other work, where a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def one_table_of_operators() -> Iterator[None]:
    """PyTorch's exporter lists its operators anew for each graph, more than a third of the time of a small one."""
    original = torch.onnx.export

    @functools.wraps(original)
    def export(*args, **options):
        keep_lists_of_operators()
        return original(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", export)
        yield


@functools.cache
def keep_lists_of_operators() -> None:
    """Has the exporter's lists of operators made once in a process: they depend on what is installed alone."""
    from torch._export import utils  # imports for seconds, as do the others
    from torch.onnx._internal.exporter import _decomp
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
    utils._materialize_cpp_cia_ops = functools.cache(utils._materialize_cpp_cia_ops)  # was asked 60 times per graph
    make_table = functools.cache(_decomp.create_onnx_friendly_decomposition_table)
    _decomp.create_onnx_friendly_decomposition_table = lambda operators: make_table(frozenset(operators))


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred digits of 32 pixels as a user would hold them: PNG files, one folder per class, split."""
    folder = tmp_path_factory.mktemp("digits")
    scenes = DigitScenes(side=32, sizes=(300, 100, 100))
    for index, record in enumerate(scenes.records):
        place = folder / str(record.split) / scenes.classes[record.label]
        place.mkdir(parents=True, exist_ok=True)
        scenes.open(index).save(place / f"{index}.png")
    return folder


@pytest.fixture
def inputs_of(tmp_path: Path) -> Callable[[str], tuple[object, object, object]]:
    """Function from a system to what it is asked, by its wing: something good, something broken, something good."""
    from modicum.systems import WINGS, get_system

    return lambda system: WINGS[get_system(system).wing].examples(tmp_path)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Function from a name and what fills a folder to that folder, filled by one worker for all; not to be changed."""
    shared = shared_folder(tmp_path_factory)

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / name
        with wait_for_lock(folder.with_suffix(".lock")):
            if not folder.exists():
                begun = shared / f"{name}.begun"
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir()
                fill(begun)
                begun.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory, digit_folder: Path) -> Callable[[str], Path]:
    """The run folder of a system, trained by its quick recipe; trained once, by one worker, and copied for the others.

    It is trained on little data in a folder, as a user would hold it; graphs on what is embedded.
    """
    from modicum import verbs
    from modicum.systems import get_system

    shared = shared_folder(tmp_path_factory)
    runs: dict[str, Path] = {}
    data: dict[str, Callable[[], Path]] = {
        "classify": lambda: digit_folder,
        "restore": lambda: write_crops(tmp_path_factory.mktemp("crops")),
        "reading": lambda: write_lookup(tmp_path_factory.mktemp("lookup"), sizes=(200, 20, 40)),
        "saliency": lambda: write_scenes(tmp_path_factory.mktemp("scenes"), side=48, sizes=(80, 20, 30)),
        "detect": lambda: write_marks(tmp_path_factory.mktemp("marks"), side=320, sizes=(10, 5, 5)),
    }

    def train(system: str) -> Path:
        trained, wing = shared / f"quick-{system}", get_system(system).wing
        with wait_for_lock(shared / f"quick-{system}.lock"):
            if not (trained / "report.html").exists():  # it is written last
                place = str(data[wing]()) if wing in data else None
                with hurried_reports():
                    verbs.train(system, recipe=f"{system}-quick", data=place, out=trained)
        return shutil.copytree(trained, tmp_path_factory.mktemp("runs") / system)

    def once(system: str) -> Path:
        if system not in runs:
            runs[system] = train(system)
        return runs[system]

    return once


@pytest.fixture(scope="session")
def quick_rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[object]]:
    """Function from a system to the rows of its quick benchmark on one thread, which one worker measures for all."""
    from modicum import verbs

    shared = shared_folder(tmp_path_factory)

    def measure(system: str) -> list[object]:
        file = shared / f"rows-{system}"
        with wait_for_lock(file.with_suffix(".lock")):
            if not file.exists():
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(memory, "start_worker", start_forked)  # quicker; a quick figure need not be right
                    file.write_bytes(pickle.dumps(verbs.bench(system, threads=1, quick=True)))
        return pickle.loads(file.read_bytes())

    return measure


@contextmanager
def hurried_reports() -> Iterator[None]:
    """Has evaluations and reports made with one reading of the clock, half the images to time, and plots of one width.

    What is left out takes half of a quick training, and no test of a run looks at the times or at both widths.
    """

    def in_turn(runs: Mapping[str, Callable[[], object]], **_: int) -> dict[str, float]:
        return timing.time_in_turn(runs, rounds=1, warm_up=0)

    def at_one_width(draw: Callable[[float], Figure], name: str, description: str) -> EmbeddedPlot:
        drawn = embed_svg(figure_to_svg(draw(WIDE_IN)), name, description)
        return EmbeddedPlot(drawn, drawn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "time_in_turn", in_turn)
        patch.setattr("modicum.classify.evaluation.TIMED_IMAGES", 32)
        patch.setattr(page, "embed_plot", at_one_width)
        yield


@pytest.fixture(scope="module")
def hurried() -> Iterator[None]:
    """Hurries the evaluations and reports of a module; see `hurried_reports`."""
    with hurried_reports():
        yield


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this session, which is that of all workers of xdist."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Holds a lock file among the workers of a session, once no other does."""
    deadline = time.monotonic() + 10 * DEADLINE_S  # what the other does may take minutes
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path))
                break
            except RunError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield


@pytest.fixture
def no_hub(monkeypatch):
    """Stands in for published weights: networks of the same shape, untrained."""
    import torchvision

    from modicum.nn import pretrained

    original = torchvision.models.get_model
    monkeypatch.setattr(pretrained, "require_torchvision_weights", lambda name: None)
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights, **k: original(name, weights=None, **k))


def kill_training(run: RunFolder, options: dict[str, object], is_time: Callable[[], bool], log: Path) -> None:
    """Trains by the options of a recipe in another process, and kills that, without asking, when it is time.

    The processes that it started must end by themselves.
    """
    deadline = time.monotonic() + DEADLINE_S
    process = start_training(run, options, log)
    while process.is_alive() and time.monotonic() < deadline and not is_time():
        time.sleep(0.005)  # polls for a moment that may pass in a tenth of a second
    started = descendants_of(process.pid)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    assert wait_for_end(lambda: started) == []


@pytest.fixture(scope="session")
def kill_when():
    """Function that trains a run in another process and kills that; see `kill_training`."""
    return kill_training


@pytest.fixture(scope="session")
def kill_during():
    """Function that trains a run in another process, and kills that in the second or a later epoch of a stage."""

    def kill(run: RunFolder, options: dict[str, object], stage: str, log: Path) -> None:
        def is_in_second_epoch() -> bool:
            """Whether the checkpoint of the first epoch is there and a later epoch is under way."""
            if not (run.stage(stage) / "last.ckpt").exists() or not run.metrics.exists():
                return False
            rows = read_jsonl(run.metrics)
            return any(row["stage"] == stage and "train/loss" in row and row["epoch"] >= 1 for row in rows)

        kill_training(run, options, is_in_second_epoch, log)

    return kill
