import copy

import pytest
import torch
from torch import nn

from modicum.saliency.folding import UnrolledRecurrentConv, fold_saliency
from modicum.saliency.network import SaliencyNet
from modicum.saliency.recurrent import RecurrentConv


def trained_a_little(network):
    """Some steps of statistics, so that folding has something to fold."""
    with torch.no_grad():
        for _ in range(3):
            network.train()(1.5 * torch.randn(4, 3, 64, 64) + 0.3)
    return network.eval()


@pytest.mark.parametrize("options", [{}, {"step_norms": "shared"}, {"steps": 0}, {"deep_attention": "region"}])
@pytest.mark.parametrize("encoder", ["small", "mobilenetv3_small_050"])
def test_folded_network_computes_the_same(encoder, options):
    torch.manual_seed(0)
    network = trained_a_little(SaliencyNet(encoder, **{"width": 16, "steps": 3} | options))
    images = torch.randn(2, 3, 61, 50)
    torch.testing.assert_close(fold_saliency(network).saliency(images), network.saliency(images), rtol=0, atol=1e-4)


def test_norms_of_either_sign_fold_exactly(small, images):
    torch.testing.assert_close(fold_saliency(small).saliency(images), small.saliency(images), rtol=0, atol=1e-4)


def test_no_normalisation_is_left(small):
    assert not [m for m in fold_saliency(small).modules() if isinstance(m, nn.BatchNorm2d)]


def test_every_step_has_its_own_kernel(small):
    layer = small.shallow[0]
    assert len(UnrolledRecurrentConv(layer).steps) == 2


def test_layer_is_not_changed():
    layer = RecurrentConv(3, 8, steps=2).eval()
    before = copy.deepcopy(layer.state_dict())
    UnrolledRecurrentConv(layer)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_network_is_not_changed(small, images):
    before = small.saliency(images)
    fold_saliency(small)
    torch.testing.assert_close(small.saliency(images), before, rtol=0, atol=0)
