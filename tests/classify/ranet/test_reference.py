import importlib.util
from pathlib import Path

import pytest
import torch

from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure

PATH = Path(__file__).parents[3] / "benchmarks" / "ranet_reference.py"
SMALL = {"base_channels": 4, "growth": 4, "layers": 2}


def load_reference():
    spec = importlib.util.spec_from_file_location("ranet_reference", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()


@pytest.mark.parametrize(
    ("structure", "image_px"),
    [
        (Structure(**SMALL), 32),
        (Structure((1, 2, 3, 3), (4, 2, 1, 1), (4, 2, 1, 1), **SMALL), 32),
        (Structure((1, 1, 2), first_blocks=1, block_step=2, **SMALL), 16),
        (Structure(layer_mode="lengthening", **SMALL), 32),
        (Structure((1, 2), (2, 1), (2, 1), stem="imagenet", **SMALL), 56),
    ],
)
def test_the_plain_transcription_gives_the_same_logits_at_every_exit(structure, image_px):
    torch.manual_seed(0)
    network = reference.calibrated(RANet(structure, num_classes=5, image_px=image_px), passes=3)
    plain = reference.PlainRANet.like(network)
    images = torch.randn(3, 3, image_px, image_px)
    with torch.inference_mode():
        found, wanted = network.every_exit(images), plain(images)
    assert reference.largest_difference(found, wanted) < 1e-5  # single precision; measured below 1e-6


def test_the_plain_transcription_has_as_many_parameters():
    network = RANet(Structure(**SMALL), num_classes=5)
    plain = reference.PlainRANet.like(network)
    assert sum(map(torch.numel, plain.parameters())) == sum(map(torch.numel, network.parameters()))


@pytest.mark.parametrize(
    ("difference", "ratio", "holds"),
    [(1e-5, 1.8, True), (2e-5, 1.8, False), (1e-6, 1.7, False), (float("nan"), 2.0, False), (0.0, float("nan"), False)],
)
def test_answers_that_differ_and_a_ratio_that_is_missed_fail(difference, ratio, holds):
    assert reference.meets(difference, ratio, 1.8) == holds
