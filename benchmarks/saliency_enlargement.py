"""Measures how maps of a saliency run are best enlarged: bilinearly, or by guided filters of several windows.

python benchmarks/saliency_enlargement.py runs/saliency
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from modicum.saliency.metrics import Scorer
from modicum.saliency.predictor import Predictor
from modicum.saliency.preparation import PreparedPairs, prepare
from modicum.saliency.upsampling import enlarge, guided_upsample, plain_upsample
from modicum.systems import open_run
from modicum.training.devices import inference_device

Enlarge = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.uint8]]
RADII = (1, 2, 4)


def bilinear(saliency: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the map at the size of the photograph, without regard to its edges."""
    return plain_upsample(saliency, pixels.shape[:2])


def compare(predictor: Predictor, data: PreparedPairs) -> None:
    """Prints a line for each way of enlarging, over the test part of a run."""
    ways: dict[str, Enlarge] = {"bilinear": bilinear, "predict": enlarge}
    ways |= {f"window of {radius} px": partial(guided_upsample, radius=radius) for radius in RADII}
    scorers = {name: Scorer() for name in ways}
    for image, pair in data.pairs("test"):
        saliency = predictor.maps([pair.pixels])[0].numpy()
        for name, way in ways.items():
            scorers[name].add(image, way(saliency, pair.pixels), pair.mask)
    for name, scorer in scorers.items():
        found = scorer.scores().figures
        print(f"{name:16} MAE {found.mae:.3f}  max F {found.max_f:.3f}  weighted F {found.weighted_f:.3f}")


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of a finished run")
    run = open_run(parser.parse_args().run).run
    data = prepare(run.recipe, run.folder)
    network = run.network().to(inference_device(run.recipe.trainer.accelerator))
    compare(Predictor(network, data.preprocessing), data)


if __name__ == "__main__":
    main()
