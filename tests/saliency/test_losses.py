import math

import pytest
import torch

from modicum.saliency.losses import boundary_weights, cross_entropy, region_loss, saliency_loss
from modicum.saliency.network import SideLogits


def logit(probability):
    return math.log(probability / (1 - probability))


LOGITS = torch.tensor([[[[logit(0.8), logit(0.4)], [logit(0.1), logit(0.5)]]]])
MASKS = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])


def test_cross_entropy_by_hand():
    expected = -(math.log(0.8) + math.log(0.6) + math.log(0.9) + math.log(0.5)) / 4
    assert cross_entropy(LOGITS, MASKS).item() == pytest.approx(expected)


def test_region_loss_by_hand():
    both, either = 0.8 + 0.5, (1 + 0.4 + 0.1 + 1)
    assert region_loss(LOGITS, MASKS).item() == pytest.approx(1 - (both + 1) / (either + 1))


def test_perfect_prediction_costs_nothing():
    assert region_loss(200 * MASKS - 100, MASKS).item() == pytest.approx(0)
    assert cross_entropy(200 * MASKS - 100, MASKS).item() == pytest.approx(0)


def test_coarser_outputs_weigh_half_as_much_each():
    one = saliency_loss(SideLogits((LOGITS,)), MASKS)
    three = saliency_loss(SideLogits((LOGITS, LOGITS, LOGITS)), MASKS)
    assert three.item() == pytest.approx(1.75 * one.item())


def test_cross_entropy_alone_is_an_option():
    loss = saliency_loss(SideLogits((LOGITS,)), MASKS, region_weight=0)
    assert loss.item() == pytest.approx(cross_entropy(LOGITS, MASKS).item())


def test_images_are_averaged_not_summed():
    twice = saliency_loss(SideLogits((LOGITS.repeat(2, 1, 1, 1),)), MASKS.repeat(2, 1, 1, 1))
    assert twice.item() == pytest.approx(saliency_loss(SideLogits((LOGITS,)), MASKS).item())


def test_boundary_weights_by_hand():
    masks = torch.zeros(1, 1, 99, 99)
    masks[..., :50] = 1
    weights = boundary_weights(masks)
    assert weights[0, 0, 50, [20, 49, 50, 80]].tolist() == pytest.approx([1, 1 + 5 * 15 / 31, 1 + 5 * 15 / 31, 1])


def test_weighted_cross_entropy_looks_more_at_boundaries():
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., :32] = 1
    wrong_at_edge = 20 * masks - 10
    wrong_at_edge[..., 32] = 10
    weighted = cross_entropy(wrong_at_edge, masks, boundary_weights(masks))
    assert weighted > 1.4 * cross_entropy(wrong_at_edge, masks)


def test_large_logits_stay_finite():
    assert saliency_loss(SideLogits((torch.full((1, 1, 4, 4), -1e4),)), torch.ones(1, 1, 4, 4)).isfinite()
