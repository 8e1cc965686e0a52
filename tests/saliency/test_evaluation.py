from dataclasses import dataclass

import numpy as np
import pytest

from modicum.saliency.data.sources import MaskedImage
from modicum.saliency.data.transforms import Preprocessing
from modicum.saliency.evaluation import score_network
from modicum.saliency.metrics import Scorer
from modicum.saliency.predictor import Predictor


@dataclass(frozen=True)
class TwoPhotographs:
    """The test part of a set: one photograph that is large against the network's input, and one that is not."""

    photographs: tuple[tuple[str, MaskedImage], ...]

    def pairs(self, part):
        assert part == "test"
        yield from self.photographs


@pytest.fixture
def photographs():
    generator, pairs = np.random.default_rng(0), []
    for name, (height, width) in (("large", (90, 120)), ("small", (30, 40))):
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : height // 2, width // 3 : width // 2] = 255
        pairs.append((name, MaskedImage(generator.integers(0, 256, (height, width, 3), np.uint8), mask)))
    return TwoPhotographs(tuple(pairs))


@pytest.mark.parametrize("is_guided", [True, False])
def test_what_is_measured_is_what_prediction_gives(small, photographs, is_guided):
    predictor, by_hand = Predictor(small, Preprocessing(32), is_guided=is_guided), Scorer()
    for name, pair in photographs.pairs("test"):
        by_hand.add(name, predictor(pair.pixels).mask, pair.mask)

    assert score_network(predictor, photographs).figures == by_hand.scores().figures
