import copy

import pytest
import torch
from classify_cascade import build
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from modicum.classify.cascade.folding import fold_cascade

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}  # of log-probabilities down to -60


@pytest.mark.parametrize("knob", [0.0, 0.5, 1.0])
def test_a_folded_cascade_answers_alike(cascade, images, knob):
    expected, found = cascade.predict(images, knob), fold_cascade(cascade).predict(images, knob)
    torch.testing.assert_close(found.outputs, expected.outputs, **TOLERANCE)
    assert found.routes.tolist() == expected.routes.tolist()
    assert found.macs.tolist() == expected.macs.tolist()


def test_no_normalisation_is_left_and_the_original_keeps_its_own():
    network = build()
    before = copy.deepcopy(network.state_dict())
    folded = fold_cascade(network)
    assert not any(isinstance(module, BatchNorm) for module in folded.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_its_plain_network_is_folded_and_answers_alike(cascade, images):
    folded = fold_cascade(cascade).plain_network().eval()
    assert not any(isinstance(module, BatchNorm) for module in folded.modules())
    torch.testing.assert_close(folded(images), cascade.plain_network().eval()(images), **TOLERANCE)
