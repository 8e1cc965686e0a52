"""Whether threads that share one predictor get the answers that one thread gets.

    python benchmarks/threads.py                # trains a quick network of every system first
    python benchmarks/threads.py runs/drnet runs/qanet

Where a network decides how much to compute, the knob changes from call to call.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modicum import verbs
from modicum.classify.data.scenes import DigitScenes
from modicum.contract import AnySystem, Trained
from modicum.reading.asking import Ask
from modicum.systems import SYSTEMS, get_system, open_run, system_of

THREADS, ANSWERS = 8, 1000
NUM_INPUTS, NUM_KNOBS = 12, 5
PASSAGE = "the colour of Bako is light blue . 1868 is the year of Miru . the size of Tolu is very small ."


def main() -> None:
    """Prints one line per system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", type=Path, help="Finished runs; none trains a quick one of every system.")
    parser.add_argument("--answers", type=int, default=ANSWERS, help="Answers of the threads together.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for run in options.runs or _quick_runs(Path(folder)):
            differing = count_differing(calls_of(run), options.answers)
            print(f"{system_of(run).id}: {differing} differing answers of {options.answers}", flush=True)


def calls_of(run: Path) -> list[Callable[[], Any]]:
    """Different questions to one predictor of a run, each a function that asks it."""
    trained = open_run(run)
    predictor, inputs, options = trained.predictor(), inputs_for(trained.run.system), knobs_for(trained)
    return [partial(predictor, each, **knob) for each, knob in itertools.product(inputs, options)]


def knobs_for(trained: Trained) -> list[dict[str, float]]:
    """Some knobs of the run's curve, as options of a call; one call without a knob where nothing is decided."""
    if trained.calibrate is None:
        return [{}]
    swept = [point.knob for point in trained.figures().curve.routed]  # type: ignore[attr-defined]  # of classifiers
    return [{"knob": swept[place]} for place in np.linspace(0, len(swept) - 1, min(NUM_KNOBS, len(swept))).astype(int)]


def count_differing(calls: Sequence[Callable[[], Any]], answers: int, threads: int = THREADS) -> int:
    """How many of the answers that several threads get, all calls in turn, are not those of one thread."""
    expected = [_fingerprint(call()) for call in calls]
    order = np.random.default_rng(0).permutation(answers) % len(calls)
    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        found = list(pool.map(lambda place: _fingerprint(calls[place]()), order))
    return sum(answer != expected[place] for place, answer in zip(order, found, strict=True))


def _quick_runs(folder: Path) -> Iterator[Path]:
    for name in SYSTEMS:
        yield verbs.train(get_system(name).id, recipe=f"{name}-quick", out=folder / name).path


def inputs_for(system: AnySystem) -> list[Any]:
    """Different inputs of what the system takes."""
    if system.wing == "reading":
        names = [("colour", "Bako"), ("year", "Miru"), ("size", "Tolu")]
        return [Ask(PASSAGE, f"what is the {what} of {name} ?") for what, name in names]
    scenes = DigitScenes(side=32, sizes=(NUM_INPUTS, 1, 1))
    return [np.asarray(scenes.open(index)) for index in range(NUM_INPUTS)]


def _fingerprint(answer: Any) -> str:  # noqa: ANN401  of any task
    """All that an answer says, to the bit; not how long it took."""
    return json.dumps([answer.to_json(), [array.tobytes().hex() for array in _arrays(answer)]])


def _arrays(value: object) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))


if __name__ == "__main__":
    main()
