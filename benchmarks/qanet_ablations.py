"""What parts of QANet, and paraphrases by rules, are worth on a slice of SQuAD: one training for each, and each seed.

    python benchmarks/qanet_ablations.py dev-v1.1.json.gz --vectors glove.twitter.27B.25d.common12k.txt.gz --out runs

A seed also divides the articles, so an ablation is compared with the recipe on the same questions, seed by seed, after
as many steps: with paraphrases an epoch has 1.7 times as many. Runs that ``--out`` holds already are read, not made
again: to use more cores, start it once for some seeds each, and once more for the table.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from modicum.storage.files import read_json_object
from modicum.storage.runs import RunFolder

RECIPE = ("--recipe", "qanet-squad-small", "--trainer.threads=1", "--baselines=false")
ABLATIONS: dict[str, Sequence[str]] = {
    "recipe": (),
    "no convolutions": (
        "--network.embedding_encoder.convolutions=0",
        "--network.model_encoder.convolutions=0",
    ),
    "no self-attention": (
        "--network.embedding_encoder.self_attention=false",
        "--network.model_encoder.self_attention=false",
    ),
    "layer dropout 0.1": ("--network.dropout.layer_dropout=0.1",),
    "no average of weights": ("--ema_decay=null",),
    "recipe, 7 epochs": ("--epochs=7",),
    "paraphrases by rules, 4 epochs": ("--augmentation.rules=true", "--epochs=4"),
}
AGAINST = {"paraphrases by rules, 4 epochs": "recipe, 7 epochs"}  # the others against the recipe


def main() -> None:
    """Trains what is missing and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a file in the format of SQuAD")
    parser.add_argument("--vectors", help="a file of word vectors")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    given = ["--data", options.data, *(["--vectors", options.vectors] if options.vectors else [])]
    found = {
        name: [
            scores(options.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}", given, flags, seed)
            for seed in options.seeds
        ]
        for name, flags in ABLATIONS.items()
    }
    print("| network | exact match, % | F1, % | F1 gained | by seed |\n| --- | --- | --- | --- | --- |")
    for name, pairs in found.items():
        base = found[AGAINST.get(name, "recipe")]
        gains = [ours[1] - theirs[1] for ours, theirs in zip(pairs, base, strict=True)]
        told = ", ".join(f"{gain:+.1f}" for gain in gains)
        exact, f1 = (spread([pair[place] for pair in pairs]) for place in (0, 1))
        print(f"| {name} | {exact} | {f1} | {spread(gains)} | {told} |")


def scores(folder: Path, given: Sequence[str], flags: Sequence[str], seed: int) -> tuple[float, float]:
    """Exact match and F1 in per cent on the test questions, of a run that is trained first if it is missing."""
    run = RunFolder(folder)
    if not run.figures.exists():
        start = ["--resume"] if run.recipe.exists() else [*RECIPE, *given, *flags, f"--seed={seed}"]
        subprocess.run([sys.executable, "-m", "modicum", "train", "qanet", *start, "--out", str(folder)], check=True)
    methods = read_json_object(run.figures)["figures"]["methods"]
    figures = next(method["figures"] for method in methods if method["name"] == "network")
    return figures["exact"], figures["f1"]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{mean(values):.1f} +- {stdev(values) if len(values) > 1 else 0:.1f}"


if __name__ == "__main__":
    main()
