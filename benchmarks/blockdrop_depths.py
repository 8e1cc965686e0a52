"""How right the nested paths of runs of BlockDrop by doubts are for everybody, as their first tuning left them.

    python benchmarks/blockdrop_depths.py runs/doubt-3 runs/doubt-4 runs/doubt-5

A path of as many multiply-adds as the routed network needs no policy: what a choice by image has to beat. No path is
tuned further, unlike the rivals of a report. Prints a row of Markdown for each depth, on the test images.
"""

import argparse
from statistics import mean

import torch

from modicum.classify.blockdrop.nested import nested_paths
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.fitting import Fitting
from modicum.storage.runs import RunFolder
from modicum.systems import open_run
from modicum.training.checkpoints import load_checkpoint


def main() -> None:
    """Measures each run and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of finished runs with method doubt")
    runs = [open_run(run).run for run in parser.parse_args().runs]
    measured = [measure(run.folder, run.recipe) for run in runs]
    print("| blocks for all | of plain | right, % | each run |")
    print("| --- | --- | --- | --- |")
    for depth in measured[0]:
        shares, accuracies = zip(*(each[depth] for each in measured), strict=True)
        told = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
        print(f"| {depth} | {shares[0]:.1%} | {mean(accuracies):.1%} | {told} |")


def measure(run: RunFolder, recipe: BlockDropRecipe) -> dict[int, tuple[float, float]]:
    """Share of the plain network's cost, and accuracy on the test images, of each depth by its number of blocks."""
    fitting = Fitting(recipe, run)
    network = BlockDrop(
        recipe.backbone, num_classes=fitting.num_classes, image_px=recipe.image_px, policy=recipe.policy
    )
    state = load_checkpoint(run.stage("nested") / "last.ckpt")["state_dict"]
    own = {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
    network.load_state_dict(own)
    found = {}
    for keep in nested_paths(network, recipe.doubt.least):
        cost = float(network.costs.of(keep[None])) - network.costs.decision
        static = network.static(keep).to(fitting.device).eval()
        point = fitting.test_point("", static, cost)
        found[int(keep.sum())] = (cost / network.costs.plain, point.accuracy)
    return found


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
