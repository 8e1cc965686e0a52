"""What a trained network and every baseline reach on the test part of a run."""

# H W size of an image in px
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modicum.datasets.duplicates import Duplicate, find_duplicates
from modicum.datasets.sources import Part
from modicum.measuring.counting import count_macs
from modicum.saliency.attention_mass import measure_attention
from modicum.saliency.baselines import baselines
from modicum.saliency.data.scenes import ProceduralScenes
from modicum.saliency.data.transforms import PairTransform
from modicum.saliency.metrics import ImageScore, Scorer, Scores
from modicum.saliency.network import SaliencyNet
from modicum.saliency.predictor import Predictor
from modicum.saliency.preparation import PreparedPairs, prepare, read_preprocessing
from modicum.saliency.recipe import SaliencyRecipe
from modicum.saliency.results import Evaluation, Example, MethodScores
from modicum.saliency.unet import UNet, unet_macs
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_left

BASELINE = "unet"  # the stage that trains it
BATCH = 8  # pictures in memory at their full size
NUM_EXAMPLES = 4
ATTENTION_IMAGES = 64


def evaluate_run(
    run: RunFolder, network: SaliencyNet, recipe: SaliencyRecipe, *, system: str = "saliency"
) -> Evaluation:
    """Measures everything that a report shows, on the test part at the full size of its images.

    Args:
        run: A finished run.
        network: Its network, in evaluation mode, on the device to run on.
        recipe: Its recipe.
        system: Id of the system.

    Raises:
        RunError: If the training is not finished.
        DataError: If the data have changed since the run.
        MissingExtraError: If the packages for measures and baselines are not installed.
    """
    run.require_finished()
    used: tuple[Part, ...] = ("test",)
    data = prepare(recipe, run, parts=used)
    trained_with = read_preprocessing(run.weights)  # which may come from pretrained weights, not from the recipe
    data = data if trained_with is None else replace(data, preprocessing=trained_with)
    predictor = Predictor(network, data.preprocessing)
    scores = score_network(predictor, data)
    best, typical, worst = choose_examples(predictor, data, scores.images)
    methods = [_sized("network", scores, network, count_prediction_macs(network, recipe.image_px))]
    if (plain := load_baseline(run, next(network.parameters()).device)) is not None:
        reached = score_network(Predictor(plain, data.preprocessing), data)
        methods.append(_sized("U-Net of equal cost", reached, plain, unet_macs(plain.width, recipe.image_px)))
    return Evaluation(
        system=system,
        data=data.source.name,
        num_images=data.splits.sizes(),
        image_px=recipe.image_px,
        methods=(*methods, *score_baselines(data)),
        images=scores.images,
        best=best,
        typical=typical,
        worst=worst,
        attention=measure_attention(network, _attention_batches(network, data)),
        duplicates=look_for_duplicates(data),
    )


def baseline_path(run: RunFolder) -> Path:
    """Returns the file in which a run keeps the U-Net trained as its baseline."""
    return run.path / "unet.safetensors"


def load_baseline(run: RunFolder, device: torch.device | str) -> UNet | None:
    """Loads the U-Net of a run, in evaluation mode, on a device; None if none was trained; see `load_left`."""
    plain = load_left(run, BASELINE, baseline_path(run), {UNet.storage_name: UNet})
    return None if plain is None else plain.to(device)


def _sized(name: str, scores: Scores, network: nn.Module, macs: int) -> MethodScores:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return MethodScores(name, scores.figures, scores.curves, parameters, macs)


def score_network(predictor: Predictor, data: PreparedPairs) -> Scores:
    """Scores the network on the test part, with masks as `Predictor` gives them."""
    scorer, pairs = Scorer(), data.pairs("test")
    while chunk := list(islice(pairs, BATCH)):
        maps = predictor.maps([pair.pixels for _, pair in chunk])
        for (name, pair), saliency in zip(chunk, maps, strict=True):
            scorer.add(name, predictor.enlarge(saliency, pair.pixels), pair.mask)
    return scorer.scores()


def score_baselines(data: PreparedPairs) -> tuple[MethodScores, ...]:
    """Scores each baseline on the test part; the mean mask is that of the training part."""
    methods = baselines(pair.mask for _, pair in data.pairs("train"))
    scorers = {name: Scorer() for name in methods}
    for image, pair in data.pairs("test"):
        for name, method in methods.items():
            scorers[name].add(image, method(pair.pixels), pair.mask)
    scored = {name: scorer.scores() for name, scorer in scorers.items()}
    return tuple(MethodScores(name, each.figures, each.curves) for name, each in scored.items())


def choose_examples(
    predictor: Predictor, data: PreparedPairs, images: Sequence[ImageScore], count: int = NUM_EXAMPLES
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Returns ``count`` test images, or fewer, each with the best, typical and worst structure measures."""
    ranked = sorted(images, key=lambda image: -image.s_measure)
    count = min(count, len(ranked))
    middle = (len(ranked) - count) // 2
    best, typical, worst = ranked[:count], ranked[middle : middle + count], ranked[: -count - 1 : -1]
    return tuple(_make_examples(predictor, data, chosen) for chosen in (best, typical, worst))  # type: ignore[return-value]  # three


def count_prediction_macs(network: SaliencyNet, image_px: int) -> int:
    """Counts the multiply-adds of one prediction, without the outputs that only training needs."""
    with torch.device("meta"):
        on_meta = SaliencyNet(**network.storage_config()).eval()
        return count_macs(on_meta.saliency, torch.empty(1, 3, image_px, image_px))


def look_for_duplicates(data: PreparedPairs) -> tuple[Duplicate, ...] | None:
    """Finds training images that look like test images; None for procedural scenes, whose parts share no photograph."""
    if isinstance(data.source, ProceduralScenes):
        return None
    return find_duplicates(_pictures(data, "train"), _pictures(data, "test"))


def _pictures(data: PreparedPairs, part: Part) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    return ((name, pair.pixels) for name, pair in data.pairs(part))


def _make_examples(predictor: Predictor, data: PreparedPairs, chosen: Sequence[ImageScore]) -> tuple[Example, ...]:
    index_of = {record.id: index for index, record in enumerate(data.source.records)}
    pairs = [data.source.pair(index_of[score.name]) for score in chosen]
    maps = predictor.maps([pair.pixels for pair in pairs])
    return tuple(
        Example(score.name, pair.pixels, pair.mask, predictor.enlarge(saliency, pair.pixels), score)
        for score, pair, saliency in zip(chosen, pairs, maps, strict=True)
    )


def _attention_batches(network: SaliencyNet, data: PreparedPairs) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of normalised images and masks of evenly spread test images, at the network's size."""
    device = next(network.parameters()).device
    transform = PairTransform(data.preprocessing, is_random=False)
    indices = data.splits.indices(data.source, "test")
    spread = np.unique(np.linspace(0, len(indices) - 1, min(ATTENTION_IMAGES, len(indices))).round().astype(int))
    for start in range(0, len(spread), BATCH):
        samples = [transform(data.source.pair(indices[place])) for place in spread[start : start + BATCH].tolist()]
        images, masks = (torch.stack(each).to(device) for each in zip(*samples, strict=True))
        yield data.preprocessing.normalise(images), masks.float() / 255
