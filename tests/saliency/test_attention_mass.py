import pytest
import torch

from modicum.saliency.attention_mass import AttentionMass, attention_masses, measure_attention
from modicum.saliency.network import SaliencyNet

IS_OBJECT = torch.tensor([[True, True, False, False, False]])


def test_even_attention_makes_no_difference():
    masses = attention_masses(torch.full((1, 5, 5), 0.2), IS_OBJECT)
    assert masses[0].tolist() == pytest.approx([0.4, 0.4])


def test_attention_to_ones_own_kind_is_seen():
    same = (IS_OBJECT[:, :, None] == IS_OBJECT[:, None]).float()
    masses = attention_masses(same / same.sum(2, keepdim=True), IS_OBJECT)
    assert masses[0].tolist() == [1, 0]


def test_image_without_background_has_no_number():
    masses = attention_masses(torch.full((1, 2, 2), 0.5), torch.ones(1, 2, dtype=torch.bool))
    assert not masses.isfinite().all()


def test_images_of_one_kind_are_left_out(small, images):
    masks = torch.zeros(2, 1, 45, 38)
    masks[0, :, :, :20] = 1
    found = measure_attention(small, [(images, masks)])
    alone = measure_attention(small, [(images[:1], masks[:1])])
    assert [(mass.level, mass.images) for mass in found] == [(0, 1), (1, 1)]
    for mass, expected in zip(found, alone, strict=True):
        assert 0 < mass.from_object < 1
        assert (mass.from_object, mass.from_background) == pytest.approx(
            (expected.from_object, expected.from_background), rel=1e-5
        )


def test_attention_that_prefers_its_own_kind_differs_upwards():
    assert AttentionMass(level=0, from_object=0.75, from_background=0.5, images=1).difference == 0.25


def test_network_without_attention_has_nothing_to_measure(images):
    network = SaliencyNet("small", width=16, deep_attention="none").eval()
    assert measure_attention(network, [(images, torch.zeros(2, 1, 45, 38))]) == ()
