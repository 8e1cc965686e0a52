import pytest
import torch

from modicum.saliency.attention import Projections, RegionAttention, SelfAttention


def opened(attention):
    torch.nn.init.constant_(attention.gamma, 0.5)
    return attention


@pytest.mark.parametrize("kind", [SelfAttention, RegionAttention])
def test_closed_gate_leaves_features_as_they_are(kind):
    features, foreground = torch.randn(2, 16, 4, 5), torch.rand(2, 1, 4, 5)
    torch.testing.assert_close(kind(16)(features, foreground), features, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [SelfAttention, RegionAttention])
def test_output_is_what_the_weights_say(kind):
    torch.manual_seed(0)
    attention, features, foreground = opened(kind(16)), torch.randn(2, 16, 4, 5), torch.rand(2, 1, 4, 5)
    weights = attention.weights(features, foreground)
    values = attention.project.value(features).flatten(2).mT
    expected = features + 0.5 * (weights @ values).mT.reshape(features.shape)
    torch.testing.assert_close(attention(features, foreground), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [SelfAttention, RegionAttention])
def test_rows_of_weights_sum_to_one(kind):
    weights = kind(16).weights(torch.randn(2, 16, 4, 5), torch.rand(2, 1, 4, 5))
    assert weights.shape == (2, 20, 20)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 20))


def test_self_attention_scales_its_logits():
    attention, features = SelfAttention(32), torch.randn(1, 32, 2, 2)
    queries = attention.project.query(features)[0].flatten(1).T
    keys = attention.project.key(features)[0].flatten(1).T
    expected = torch.stack([torch.softmax(torch.stack([q @ k / 2 for k in keys]), 0) for q in queries])  # sqrt(32 / 8)
    torch.testing.assert_close(attention.weights(features)[0], expected)


def test_empty_region_gives_finite_weights():
    weights = RegionAttention(8).weights(torch.randn(1, 8, 3, 3), torch.zeros(1, 1, 3, 3))
    assert weights.isfinite().all()


def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match="at least 8 channels, got 4"):
        Projections(4)
