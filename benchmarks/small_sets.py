"""What the recipes for own data make of a small set: five classes of Caltech-101, 45 pictures each, one thread.

    python benchmarks/small_sets.py static --out small-sets
    python benchmarks/small_sets.py drnet ranet blockdrop --options "--baselines false" --out small-sets

Needs MODICUM_DATA, the folder of real data sets, with caltech101_40. The classes are the first five by name. A run is
the plain command, its baselines and report included: what counts is the routed network on the run's own test part, and
the processor time of the whole command.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

from modicum import verbs

CLASSES = 5


def main() -> None:
    """Trains what is not there yet, and prints a table in Markdown; a run by other options is refused, not shown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, help="Gets the pictures, the runs and their logs.")
    parser.add_argument("--options", default="", help="More options of the training, as one text.")
    chosen = parser.parse_args()
    photos = lay_out(Path(os.environ["MODICUM_DATA"]) / "caltech101_40" / "train.tar", chosen.out / "photos")
    columns = ("command", "seed", "accuracy on the test part, %", "test images", "processor seconds")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for system in chosen.systems:
        for seed in chosen.seeds:
            print(train(system, seed, photos, chosen.out / f"{system}-{seed}", chosen.options), flush=True)


def lay_out(archive: Path, folder: Path) -> Path:
    """Unpacks the first classes by name into one folder each, as a user would hold them."""
    with tarfile.open(archive) as members:
        files = [member for member in members if member.isfile()]
        names = sorted({Path(member.name).parent.name for member in files})[:CLASSES]
        for member in files:
            place = folder / Path(member.name).parent.name / Path(member.name).name
            content = members.extractfile(member)
            if place.parent.name in names and content is not None and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content.read())
    return folder


def train(system: str, seed: int, photos: Path, out: Path, options: str) -> str:
    """Runs one training by its command, and returns its line of the table."""
    words = ["train", system, "--data", str(photos), "--seed", str(seed), *options.split()]
    spent = out.with_suffix(".json")
    if not spent.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with out.with_suffix(".log").open("w") as log:
            command = [sys.executable, "-m", "modicum", *words, "--out", str(out)]
            subprocess.run(command, check=True, stderr=log, stdout=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.write_text(json.dumps({"words": words, "seconds": seconds}))
    record = json.loads(spent.read_text())
    if record["words"] != words:
        raise SystemExit(f"{out} was trained by {' '.join(record['words'])}: give another --out, or delete it")
    figures = verbs.figures(out)
    shown = " ".join(["modicum", "train", system, "--data", "photos/", *options.split()])
    accuracy = 100 * figures.calibrated.worth
    return f"| `{shown}` | {seed} | {accuracy:.1f} | {figures.num_images['test']} | {record['seconds']:.0f} |"


if __name__ == "__main__":
    main()
