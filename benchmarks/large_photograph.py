"""What memory and time it takes to restore a large photograph, from file to file, within a bound that the user sets.

    python benchmarks/large_photograph.py

Writes a JPEG of random colours, restores it to PNG by an untrained network of the embedded default's size (neither
time nor memory depend on the weights), and prints the peak of the process's memory beyond what it holds before. The
kernel keeps that peak, so each task needs a process of its own.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modicum.restore.inference import make_inference
from modicum.restore.predictor import Predictor
from modicum.restore.rnan.network import RNAN
from modicum.restore.task import Task

GIB = 2**30
TASKS = {"denoise": Task("denoise", 50), "jpeg": Task("jpeg", 10), "colour": Task("denoise", 50, colour=True)}


def main() -> None:
    """Prints one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", choices=TASKS, default="denoise")
    parser.add_argument("--megapixels", type=float, default=40)
    parser.add_argument("--memory_gib", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = TASKS[options.task]
    network = RNAN(task.channels, features=16, local_groups=0, non_local=False, value_range=1).eval()
    predict = Predictor(make_inference(network, tile=96, halo=12, memory_gib=options.memory_gib), task)
    with tempfile.TemporaryDirectory() as folder:
        restore_file(predict, random_photo(Path(folder) / "small.jpg", 0.02), Path(folder) / "small.png")
        photo = random_photo(Path(folder) / "large.jpg", options.megapixels)
        before, start = peak_bytes(), time.perf_counter()
        restore_file(predict, photo, Path(folder) / "large.png")
        taken, seconds = peak_bytes() - before, time.perf_counter() - start
        width, height = Image.open(photo).size
    held = 2 * 3 * 4 * width * height
    is_kept = taken - held <= options.memory_gib * GIB
    print(
        f"{options.task}, {width}x{height} pixels, {options.threads} thread(s): {seconds:.0f} s; at most "
        f"{taken / GIB:.2f} GiB beyond the loaded program, of them {held / GIB:.2f} the photograph and its result, "
        f"bound on the rest {options.memory_gib:g} GiB: {'kept' if is_kept else 'BROKEN'}"
    )


def random_photo(path: Path, megapixels: float) -> Path:
    """A JPEG of random blocks of 8 pixels, three pixels wide for two high."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(megapixels * 1e6 / height)
    blocks = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]).save(path, quality=90)
    return path


def restore_file(predict: Predictor, source: Path, target: Path) -> None:
    """As `modicum predict` does it."""
    predict(source).save(target)


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
