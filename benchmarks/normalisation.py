"""What resolution-aware batch normalisation is worth: each resolution with its own, and with the largest's.

    python benchmarks/normalisation.py runs/drnet

Uses the network of stage 1, before any routing, on the run's test images.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from modicum import verbs
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.evaluation import open_data
from modicum.classify.preparation import LabelledImages
from modicum.recipes import build_recipe, read_recipe
from modicum.storage import RunFolder
from modicum.training.checkpoints import load_checkpoint


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path, help="A finished run of drnet.")
    run = RunFolder.open(parser.parse_args().run)
    network = stage_one_network(run)
    test = open_data(build_recipe(DRNetRecipe, read_recipe(run.recipe)), run).evaluate_on("test")
    print("| resolution | own normalisation, accuracy % | the largest's, accuracy % |\n| --- | --- | --- |")
    for index, side in enumerate(network.resolutions):
        own, largest = (100 * accuracy(network, test, index, norms=norms) for norms in (index, 0))
        print(f"| {side} px | {own:.1f} | {largest:.1f} |")


def stage_one_network(run: RunFolder) -> DRNet:
    """The network as stage 1 left it."""
    network = verbs.load(run.path)
    assert isinstance(network, DRNet)
    state = load_checkpoint(run.stage("multi_resolution") / "last.ckpt")["state_dict"]
    network.load_state_dict(
        {name.removeprefix("network."): value for name, value in state.items() if "network." in name}
    )
    return network.eval()


@torch.inference_mode()
def accuracy(network: DRNet, test: LabelledImages, index: int, *, norms: int) -> float:
    """Share of the test images classified right at resolution ``index`` with the normalisation of ``norms``."""

    def logits(images: Tensor) -> Tensor:
        with network.switch.at(norms):
            result: Tensor = network.backbone(network.resize[index](images))
        return result

    hits = torch.cat([logits(images).argmax(dim=1) == labels for images, labels in test])
    return float(hits.double().mean())


if __name__ == "__main__":
    main()
