"""What a restoration network, a plain one of equal cost, and classic methods reach on the test images of a run."""

# H W size of an image in px, s scale
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modicum.datasets.sources import Part
from modicum.restore.baselines import Baseline, baselines_for
from modicum.restore.dncnn import DnCNN, UnitRange
from modicum.restore.inference import Inference, count_parameters
from modicum.restore.metrics import Scores, mean_scores, psnr, score
from modicum.restore.patches import DegradedImages, Pair
from modicum.restore.pixels import quantise, same_size
from modicum.restore.preparation import open_parts
from modicum.restore.results import Evaluation, Example, ImageScore, Method, TileRow
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_left

Restore = Callable[[NDArray[Any]], NDArray[Any]]

BASELINE = "dncnn"  # the stage that trains the plain network
EXAMPLE_PX = 160  # side of an example, of the result
NUM_EXAMPLES = 4
TILED_PX = 192  # side of the part of an image on which tiles are compared with the whole, of the input
PLENTY_GIB = 64.0
TRIED_TILES = ((48, 0, 0), (48, 8, 0), (96, 0, 0), (96, 12, 0), (96, 12, 4), (96, 24, 4))  # tile, halo, feather


def evaluate_run(
    run: RunFolder,
    inference: Inference,
    recipe: RNANRecipe,
    *,
    system: str,
    classics: bool = True,
    ensemble: bool = True,
) -> Evaluation:
    """Measures everything a report shows on the test images of a run.

    Args:
        run: A finished run.
        inference: Its network, and how it is run.
        recipe: Its recipe.
        system: Id of the system.
        classics: Also measure baselines without training; BM3D takes a second per 96x96 pixels.
        ensemble: Also measure the mean over the eight symmetries, at eight times the network's time, if the task has
            them.

    Raises:
        RunError: If the training is not finished.
        DataError: If the images have changed since the run began.
        MissingExtraError: If the libraries for the measures are not installed.
    """
    run.require_finished()
    used: tuple[Part, ...] = ("test",)
    prepared = open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, run, parts=used)
    images = DegradedImages(prepared.part("test"), recipe.task, seed=recipe.seed)
    ours, scores = measure_network("network", inference, images)
    rows = [ours]
    if ensemble and recipe.task.has_symmetries:
        rows.append(measure_network("network, self-ensemble", replace(inference, is_ensemble=True), images)[0])
    if (plain := load_baseline(run, next(inference.network.parameters()).device)) is not None:
        rows.append(measure_network("DnCNN of equal cost", replace(inference, network=plain), images)[0])
    found = baselines_for(recipe.task)
    degraded, others = found.rows[0], found.rows[1:] if classics else ()
    first, degraded_scores = _measure_baseline(degraded, images)
    rows += [first, *(_measure_baseline(baseline, images)[0] for baseline in others)]
    per_image = image_scores(images, scores, degraded_scores)
    return Evaluation(
        system=system,
        task=recipe.task.title,
        metric=recipe.task.metric,
        data=prepared.images.name,
        num_images=prepared.splits.sizes(),
        tile=inference.tiling.tile,
        halo=inference.tiling.halo,
        methods=tuple(rows),
        images=tuple(per_image),
        tiles=compare_tiles(inference, images),
        examples=choose_examples(inference, images, per_image),
        missing=found.missing if classics else (),
    )


def baseline_path(run: RunFolder) -> Path:
    """Returns where a run keeps the plain network that was trained beside its own."""
    return run.path / "dncnn.safetensors"


def load_baseline(run: RunFolder, device: torch.device | str) -> UnitRange | None:
    """Loads the plain network of a run, ready to run on ``device``; None if none was trained; see `load_left`."""
    plain = load_left(run, BASELINE, baseline_path(run), {DnCNN.storage_name: DnCNN})
    return None if plain is None else UnitRange(plain).eval().to(device)


def measure(name: str, restore: Restore, images: DegradedImages, *, note: str = "") -> tuple[Method, list[Scores]]:
    """Measures a method of restoration on every image, and on average.

    Args:
        name: Its name in reports.
        restore: Maps a degraded image to a restored one of the target's size.
        images: The test images.
        note: What readers must know about it.
    """
    scores, seconds, pixels = [], 0.0, 0
    for pair in images:
        start = time.perf_counter()
        restored = restore(pair.degraded)
        seconds += time.perf_counter() - start
        pixels += math.prod(pair.target.shape[:2])
        scores.append(score(restored, pair.target, images.task))
    return Method(name, mean_scores(scores), 1e6 * seconds / pixels, note=note), scores


def measure_network(name: str, inference: Inference, images: DegradedImages) -> tuple[Method, list[Scores]]:
    """Measures a network as `measure` does, and adds its size and cost."""
    method, scores = measure(name, inference.restore, images)
    network: Any = inference.network
    sized = replace(
        method, parameters=count_parameters(network), macs_per_pixel=network.macs_per_pixel / inference.scale**2
    )
    return sized, scores


def _measure_baseline(baseline: Baseline, images: DegradedImages) -> tuple[Method, list[Scores]]:
    return measure(baseline.name, baseline.restore, images, note=baseline.note)


def image_scores(images: DegradedImages, network: Sequence[Scores], degraded: Sequence[Scores]) -> list[ImageScore]:
    """Returns the scores of each image, with its name."""
    names = [image.id for image in images.images]
    return [ImageScore(*row) for row in zip(names, network, degraded, strict=True)]


def choose_examples(inference: Inference, images: DegradedImages, scores: Sequence[ImageScore]) -> tuple[Example, ...]:
    """Shows the most detailed part of some test images, evenly spaced from greatest to least gain."""
    order = sorted(range(len(scores)), key=lambda place: scores[place].degraded.psnr - scores[place].network.psnr)
    places = np.unique(np.linspace(0, len(order) - 1, min(NUM_EXAMPLES, len(order))).round().astype(int))
    return tuple(_example(inference, images[order[place]], scores[order[place]]) for place in places)


def _example(inference: Inference, pair: Pair, score: ImageScore) -> Example:
    scale = inference.scale
    side = min(EXAMPLE_PX // scale, *pair.degraded.shape[:2])
    top, left = most_detailed(pair.target[::scale, ::scale], side)
    degraded = pair.degraded[top : top + side, left : left + side]
    rows, columns = (slice(scale * start, scale * (start + side)) for start in (top, left))
    # The whole is restored, as parts would be restored without what lies around them.
    restored = inference.restore(pair.degraded)[rows, columns]
    shown = (same_size(quantise(degraded), scale), quantise(restored), pair.target[rows, columns])
    return Example(score.name, *shown, score)


def most_detailed(image: NDArray[Any], side: int) -> tuple[int, int]:
    """Returns top and left, both even, of the window of ``side`` pixels with most variance, among some dozens."""
    grey = image.mean(axis=2) if image.ndim == 3 else image.astype(np.float64)
    tops, lefts = (_starts(length, side) for length in grey.shape)
    windows = {(top, left): grey[top : top + side, left : left + side].var() for top in tops for left in lefts}
    return max(windows, key=windows.__getitem__)


def _starts(length: int, side: int) -> list[int]:
    return sorted({2 * int(start // 2) for start in np.linspace(0, length - side, 6)})


def compare_tiles(inference: Inference, images: DegradedImages) -> tuple[TileRow, ...]:
    """Compares tiles of several sizes with restoring at once, on the middle of the first test image."""
    pair, scale = images[0], inference.scale
    inference = replace(inference, memory_gib=PLENTY_GIB)  # each tiling as it is asked for
    part, target = _middle(pair, scale)
    longest = max(part.shape[:2])
    whole = inference.with_tiles(longest + longest % 2, 0, 0).restore(part)
    best = score(whole, target, images.task).psnr
    rows = []
    for tile, halo, feather in TRIED_TILES:
        if tile >= longest:
            continue
        tiled = inference.with_tiles(tile, halo, feather)
        result = tiled.restore(part)
        rows.append(
            TileRow(
                tile=tile,
                halo=halo,
                feather=feather,
                psnr_db=psnr(result, whole),
                max_difference=float(np.abs(result - whole).max()),
                psnr_change_db=score(result, target, images.task).psnr - best,
                work_factor=tiled.tiling.work_factor(*part.shape[:2]),
            )
        )
    return tuple(rows)


def _middle(pair: Pair, scale: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cuts the middle, of at most `TILED_PX`, from an input and its target, at even pixels."""
    height, width = pair.degraded.shape[:2]
    sides = [min(length, TILED_PX) for length in (height, width)]
    starts = [(length - side) // 4 * 2 for length, side in zip((height, width), sides, strict=True)]
    rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    target_rows, target_columns = (slice(scale * span.start, scale * span.stop) for span in (rows, columns))
    return pair.degraded[rows, columns], pair.target[target_rows, target_columns]
