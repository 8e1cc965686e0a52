"""Damages every kind of file of runs and exports, and counts what goes wrong.

Wrong are answers that change without a word, exceptions that are not modicum's own, calls that hang, and calls that
take more memory than a damaged file deserves.

python benchmarks/corruptions.py --cases 2000 --work corruptions
"""

import argparse
import json
import logging
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from modicum import verbs
from modicum.storage.errors import ModicumError
from modicum.storage.header import read_raw_header
from modicum.storage.outputs import LIST_NAME, claim
from modicum.storage.runs import RunFolder
from modicum.systems import SYSTEMS, get_system, open_run
from modicum.training.checkpoints import load_checkpoint

SECONDS = 5.0  # of the processor; a call that takes longer hangs
PATIENCE = 20  # times as long by the clock, for a call that only waits: other work may share the machine
BYTES = 1 << 30  # memory that a call may add
FAULTS = ("changed", "foreign", "hang", "memory")
Exercise = Callable[[], object]
Mutation = Callable[[bytes, Random], bytes | None]


class Hang(BaseException):
    """Raised in a call that takes too long; no handler of exceptions may catch it."""


@dataclass
class Tally:
    """Outcomes by kind of file, and what was wrong in words."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str, told: str) -> None:
        """Counts one case."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        if outcome in FAULTS:
            self.faults.append(f"{outcome}: {told}")

    def __str__(self) -> str:
        columns = ("named", "unchanged", *FAULTS)
        rows = [
            f"| {kind} | {sum(found.values())} | {' | '.join(str(found[column]) for column in columns)} |"
            for kind, found in sorted(self.counts.items())
        ]
        total = sum(self.counts.values(), Counter())
        rows.append(f"| all | {sum(total.values())} | {' | '.join(str(total[column]) for column in columns)} |")
        head = "| file | cases | named | same answer | changed answer | foreign exception | over 5 s | over 1 GiB |"
        return "\n".join([head, "| --- |" + " --- |" * 7, *rows])


# Damage to bytes. Each takes a file's content and a source of chance; None where it cannot be done to this content.


def flip_bit(content: bytes, chance: Random) -> bytes | None:
    """One bit, anywhere."""
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def zero_block(content: bytes, chance: Random) -> bytes | None:
    """A block of zeros, as a bad sector leaves it."""
    size = min(len(content), chance.choice((16, 64, 512, 4096)))
    place = chance.randrange(len(content) - size + 1)
    return content[:place] + bytes(size) + content[place + size :]


def truncate(content: bytes, chance: Random) -> bytes | None:
    """The beginning alone, as a full disk leaves it."""
    return content[: chance.randrange(len(content))]


def append(content: bytes, chance: Random) -> bytes | None:
    """More behind the end."""
    return content + chance.randbytes(chance.choice((1, 8, 1000)))


def swap_blocks(content: bytes, chance: Random) -> bytes | None:
    """Two blocks in each other's place."""
    size = min(64, len(content) // 2)
    first = chance.randrange(len(content) - 2 * size + 1)
    second = chance.randrange(first + size, len(content) - size + 1)
    middle = content[first + size : second]
    ends = content[second : second + size], content[first : first + size]
    return content[:first] + ends[0] + middle + ends[1] + content[second + size :]


def other_encoding(content: bytes, chance: Random) -> bytes | None:
    """The text in an encoding that is not UTF-8."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return ("é" + text).encode(chance.choice(("utf-16", "utf-32", "latin-1")), "replace")


def nest(content: bytes, chance: Random) -> bytes | None:
    """5,000 brackets."""
    return b"[" * 5000 + (b"]" * 5000 if chance.random() < 0.5 else b"")


def alias_bomb(content: bytes, chance: Random) -> bytes | None:
    """A few lines that stand for 10 to the power of 30 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    return content + "\n".join(["", *lines, ""]).encode()


def drop_line(content: bytes, chance: Random) -> bytes | None:
    """One line less."""
    lines = content.split(b"\n")
    del lines[chance.randrange(len(lines))]
    return b"\n".join(lines)


def change_digit(content: bytes, chance: Random) -> bytes | None:
    """One digit."""
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return None
    place = chance.choice(places)
    return content[:place] + str((content[place] - 48 + chance.randrange(1, 10)) % 10).encode() + content[place + 1 :]


def drop_key(content: bytes, chance: Random) -> bytes | None:
    """A JSON object without one of its keys, at any depth."""
    value = json.loads(content)
    holders = [each for each in _values(value) if isinstance(each, dict) and each]
    if not holders:
        return None
    holder = chance.choice(holders)
    del holder[chance.choice(list(holder))]
    return json.dumps(value).encode()


def replace_value(content: bytes, chance: Random) -> bytes | None:
    """A JSON value that is another one, at any depth."""
    value = json.loads(content)
    holders = [each for each in _values(value) if isinstance(each, dict) and each]
    if not holders:
        return None
    holder = chance.choice(holders)
    holder[chance.choice(list(holder))] = chance.choice((None, [], {}, "", -1, 10**400, True, [None]))
    return json.dumps(value).encode()


def swap_tensors(content: bytes, chance: Random) -> bytes | None:
    """Two tensors of equal shape in each other's place."""
    size = 8 + int.from_bytes(content[:8], "little")
    entries = [raw for name, raw in json.loads(content[8:size]).items() if name != "__metadata__"]
    pairs = [
        (a, b) for a in entries for b in entries if a is not b and (a["shape"], a["dtype"]) == (b["shape"], b["dtype"])
    ]
    if not pairs:
        return None
    a, b = (raw["data_offsets"] for raw in chance.choice(pairs))
    data = bytearray(content[size:])
    data[slice(*a)], data[slice(*b)] = data[slice(*b)], data[slice(*a)]
    return content[:size] + bytes(data)


def put_nan(content: bytes, chance: Random) -> bytes | None:
    """NaN for all numbers of a tensor."""
    size = 8 + int.from_bytes(content[:8], "little")
    entries = [
        raw for name, raw in json.loads(content[8:size]).items() if name != "__metadata__" and raw["dtype"] == "F32"
    ]
    if not entries:
        return None
    begin, end = chance.choice(entries)["data_offsets"]
    return content[: size + begin] + struct.pack("<f", float("nan")) * ((end - begin) // 4) + content[size + end :]


def change_header(content: bytes, chance: Random) -> bytes | None:
    """The header of weights with a value dropped or huge; the tensors stay."""
    size = 8 + int.from_bytes(content[:8], "little")
    changed = chance.choice((drop_key, replace_value, change_digit))(content[8:size].rstrip(), chance)
    return None if changed is None else len(changed).to_bytes(8, "little") + changed + content[size:]


ANY: tuple[Mutation, ...] = (flip_bit, flip_bit, zero_block, truncate, append, swap_blocks)
TEXT: tuple[Mutation, ...] = (*ANY, other_encoding, nest, drop_line, change_digit)
MUTATIONS: Mapping[str, tuple[Mutation, ...]] = {
    ".json": (*TEXT, drop_key, replace_value),
    ".jsonl": TEXT,
    ".yaml": (*TEXT, alias_bomb),
    ".safetensors": (*ANY, swap_tensors, put_nan, change_header),
}


def _values(value: Any) -> Iterator[Any]:  # noqa: ANN401  JSON of any kind
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _values(each)


# What depends on a file: the answer must stay the same, or an error must name the fault.


@dataclass(frozen=True)
class Subject:
    """A file of a run or of an export, and what shows whether it is believed."""

    path: Path
    kind: str
    exercise: Exercise


def subjects_of(run: Path, inputs: list[Any]) -> list[Subject]:
    """The files of a run folder and of the export in it, each with what reads it."""
    folder, system = RunFolder.open(run), get_system(RunFolder.open(run).read_state().system)
    predict = _predicting(run, inputs)
    exercises: dict[str, Exercise] = {
        "recipe.yaml": predict,
        "run.json": predict,
        "model.safetensors": predict,
        "calibration.json": predict,
        "metrics.jsonl": lambda: _drawn(folder),
        "splits.json": lambda: _opened_data(folder, system.wing),
        "content.json": lambda: _opened_data(folder, system.wing),
        "baselines.json": lambda: _baselines(folder, system.wing),
        "front.json": lambda: _front(folder),
        "curve.json": lambda: repr(verbs.figures(run)),
        "figures.json": lambda: repr(verbs.figures(run)),
    }
    found = [Subject(run / name, name, exercise) for name, exercise in exercises.items() if (run / name).is_file()]
    found += [Subject(file, f"words/{file.name}", predict) for file in sorted((run / "words").glob("*"))]
    others = [file for file in sorted(run.glob("*.safetensors")) if file != folder.weights]
    found += [Subject(file, "weights of baselines", partial(_rival, folder, system.wing)) for file in others]
    found += [Subject(file, file.name, partial(_checkpoint, file)) for file in sorted(run.glob("stages/*/*.ckpt"))]
    searches = sorted(run.glob("stages/*/search-*.json"))
    found += [Subject(file, "search-SEED.json", partial(_search, file)) for file in searches]
    if (run / "export").is_dir():
        runner = _running(run / "export", system.id, inputs)
        for file in sorted((run / "export").rglob("*")):
            if file.is_file() and file.name != LIST_NAME:
                kind = "manifest.json" if file.name == "manifest.json" else f"export: *{file.suffix}"
                found.append(Subject(file, kind, runner))
    for owner in (run, run / "export"):
        if (listed := owner / LIST_NAME).is_file():
            outputs = [owner / json.loads(line)["name"] for line in listed.read_text().splitlines()]
            found.append(Subject(listed, "list of outputs", partial(claim, outputs)))
    return found


def _predicting(run: Path, inputs: list[Any]) -> Exercise:
    return lambda: [_plain(answer) for answer in verbs.predictor(run).predict_all(inputs)]


def _plain(answer: Any) -> object:  # noqa: ANN401  of any task
    parts = getattr(answer, "__dict__", None) or {
        name: getattr(answer, name) for name in getattr(answer, "__slots__", ())
    }
    return [(name, _value(value)) for name, value in sorted(parts.items()) if "seconds" not in name]


def _value(value: Any) -> object:  # noqa: ANN401  of any kind
    if isinstance(value, np.ndarray | torch.Tensor):
        return np.asarray(value).tobytes()
    return value.tobytes() if hasattr(value, "tobytes") else repr(value)


def _flat(state: Mapping[str, torch.Tensor]) -> object:
    return [(name, tuple(value.shape), value.numpy().tobytes()) for name, value in sorted(state.items())]


def _drawn(folder: RunFolder) -> None:
    """A log answers nothing: it must only be drawn, or refused."""
    from modicum.reporting.plots.learning import draw_learning, has_curves

    if has_curves(rows := folder.read_metrics()):
        draw_learning(rows)


def _checkpoint(file: Path) -> object:
    return _flat(load_checkpoint(file)["state_dict"])


def _search(file: Path) -> object:
    from modicum.graphs.restarts import read_state

    return repr(read_state(file))


def _rival(folder: RunFolder, wing: str) -> object:
    """The weights of the network that was trained beside the run's own, as an evaluation loads them."""
    if wing == "graphs":
        network = import_module("modicum.graphs.judging").load_layered(folder)
    elif wing == "reading":
        network = import_module("modicum.reading.evaluation").load_baseline(folder)
    else:
        network = import_module(f"modicum.{wing}.evaluation").load_baseline(folder, "cpu")
    return _flat(network.state_dict())


def _opened_data(folder: RunFolder, wing: str) -> object:
    recipe = open_run(folder.path).run.recipe
    if wing == "classify":
        from modicum.classify.evaluation import open_data

        return open_data(recipe, folder).splits
    if wing == "saliency":
        from modicum.saliency.preparation import prepare

        return prepare(recipe, folder).splits
    if wing == "restore":
        from modicum.restore.preparation import open_parts

        return open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, folder).splits
    if wing == "reading":
        from modicum.reading.preparation import open_parts as open_corpora

        return open_corpora(recipe, folder)[0]
    from modicum.graphs.preparation import prepare as prepare_points
    from modicum.graphs.training import check_same_data

    return check_same_data(folder, prepare_points(recipe))


def _baselines(folder: RunFolder, wing: str) -> object:
    if wing == "graphs":
        from modicum.graphs.training import read_baselines

        return read_baselines(folder)
    from modicum.classify.evaluation import read_baselines as read_points

    return read_points(folder)


def _front(folder: RunFolder) -> object:
    from modicum.graphs.training import read_front

    return repr(read_front(folder))


def _running(export: Path, system: str, inputs: list[Any]) -> Exercise:
    """Opens an export with the runner of its system and asks it."""

    def run() -> object:
        if system == "graphs":
            from modicum.graphs.runner import OnnxGraph

            runner = OnnxGraph(export, threads=1)
            return runner.run(np.linspace(-1, 1, 4 * len(runner.encoding.features)).reshape(4, -1)).tobytes()
        if system == "qanet":
            from modicum.reading.qanet.runner import OnnxQANet

            return repr(OnnxQANet(export, threads=1).answer(*inputs[0][:2]))
        if system == "rnan":
            from modicum.restore.rnan.runner import OnnxRNAN

            runner = OnnxRNAN(export, threads=1)
            image = np.random.default_rng(0).random((24, 24, 3), dtype=np.float32)
            return runner.restore(image[..., 0] if runner.channels == 1 else image).tobytes()
        if system == "saliency":
            from modicum.saliency.runner import OnnxSaliency

            return OnnxSaliency(export, threads=1).find(inputs[0]).tobytes()
        runner = getattr(import_module(f"modicum.classify.{system}.runner"), f"Onnx{_CLASSES[system]}")
        return repr(runner(export, threads=1).classify(inputs[0]))

    return run


_CLASSES = {"static": "Static", "drnet": "DRNet", "ranet": "RANet", "blockdrop": "BlockDrop"}


# One case after another.

_ALARMS = (signal.SIGPROF, signal.SIGALRM)


@contextmanager
def bounded(seconds: float = SECONDS, added_bytes: int = BYTES) -> Iterator[None]:
    """Ends the block with `Hang` after some seconds of work, and with MemoryError when it adds too much memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)

    def end(*_: object) -> None:
        raise Hang

    handlers = [signal.signal(number, end) for number in _ALARMS]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + added_bytes, before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        for number, handler in zip(_ALARMS, handlers, strict=True):
            signal.signal(number, handler)


def judge(subject: Subject, expected: object) -> tuple[str, str]:
    """The outcome of a damaged subject, and what was said."""
    try:
        with bounded():
            found = subject.exercise()
    except ModicumError as error:
        return "named", str(error)
    except Hang:
        return "hang", ""
    except MemoryError:
        return "memory", ""
    except Exception as error:  # exactly these are counted
        return "foreign", f"{type(error).__name__}: {error}"
    return ("unchanged", "") if found == expected else ("changed", "")


def damage(subject: Subject, cases: int, chance: Random, tally: Tally) -> None:
    """Damages one file so many times, each time anew, and puts it back."""
    whole = subject.path.read_bytes()
    expected = subject.exercise()
    mutations = MUTATIONS.get(subject.path.suffix, ANY)
    for number in range(cases):
        mutation = mutations[number % len(mutations)]
        content = mutation(whole, chance) if whole else None
        if content is None or content == whole:
            continue
        try:
            subject.path.write_bytes(content)
            outcome, told = judge(subject, expected)
        finally:
            subject.path.write_bytes(whole)
        tally.add(subject.kind, outcome, f"{subject.path} after {mutation.__name__}: {told}")
    if cases:
        try:
            subject.path.unlink()
            outcome, told = judge(subject, expected)
        finally:
            subject.path.write_bytes(whole)
        tally.add(subject.kind, outcome, f"{subject.path} after its removal: {told}")


def craft(run: Path, predict: Exercise, tally: Tally) -> None:
    """Weights with a right digest that ask for absurd networks: what damage cannot do, a hand can."""
    from modicum.storage.header import write_weights

    weights = run / "model.safetensors"
    whole, metadata = weights.read_bytes(), read_raw_header(weights).metadata
    config = json.loads(metadata["config"])
    for key, value in _numbers(config):
        for absurd in (100_000, 10**9, -1, 10**30):
            changed = json.loads(metadata["config"])
            _put(changed, key, absurd)
            try:
                write_weights(weights, {**metadata, "config": json.dumps(changed)}, whole)
                outcome, told = judge(Subject(weights, "", predict), None)
            finally:
                weights.write_bytes(whole)
            if outcome == "changed":  # it fits: the number says nothing of the network's size
                outcome = "unchanged"
            tally.add("crafted weights", outcome, f"{weights} with {key} {value} as {absurd}: {told}")


def _numbers(config: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:  # noqa: ANN401  JSON
    if type(config) is int:
        yield at, config
    elif isinstance(config, dict | list) and len(at) < 3:
        items = config.items() if isinstance(config, dict) else list(enumerate(config))[:3]
        for key, value in items:
            yield from _numbers(value, (*at, key))


def _put(config: Any, at: tuple[Any, ...], value: int) -> None:  # noqa: ANN401  JSON
    for key in at[:-1]:
        config = config[key]
    config[at[-1]] = value


def corrupt(run: Path, inputs: list[Any], cases: int, seed: int, tally: Tally) -> None:
    """Damages the files of a copy of a run ``cases`` times in all."""
    with tempfile.TemporaryDirectory() as folder:
        _corrupt(shutil.copytree(run, Path(folder) / run.name), inputs, cases, seed, tally)


def _corrupt(run: Path, inputs: list[Any], cases: int, seed: int, tally: Tally) -> None:
    chance = Random(seed)
    subjects = subjects_of(run, inputs)
    for place, subject in enumerate(subjects):
        share = cases // len(subjects) + (place < cases % len(subjects))
        damage(subject, share, chance, tally)
    craft(run, _predicting(run, inputs), tally)


def train_all(systems: list[str], work: Path) -> None:
    """Trains and exports each system by its quick recipe, if that is not done yet."""
    for name in systems:
        out = work / name
        if not (out / "report.html").exists():
            shutil.rmtree(out, ignore_errors=True)
            verbs.train(name, recipe=f"{name}-quick", out=out)
        if get_system(name).export and not (out / "export").exists():
            verbs.export(out)


def inputs_of(wing: str, work: Path) -> list[Any]:
    """Something that a run of a wing can be asked."""
    if wing == "reading":
        from modicum.reading.asking import Ask

        return [Ask("the colour of Bako is light blue .", "what is the colour of Bako ?", "first")]
    from PIL import Image

    path = work / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(path)
    return [path]


def main() -> None:
    """Prints the table as Markdown, and every fault; exits with 1 if there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="damaged files in all")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), help="what to train by its quick recipe")
    parser.add_argument("--work", type=Path, default=Path("corruptions"), help="where the runs are, or will be")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    train_all(options.systems, options.work)
    tally, began = Tally(), time.monotonic()
    for name in options.systems:
        inputs = inputs_of(get_system(name).wing, options.work)
        corrupt(options.work / name, inputs, -(-options.cases // len(options.systems)), options.seed, tally)
        print(f"{name} done, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(tally)
    print("\n".join(tally.faults))
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
