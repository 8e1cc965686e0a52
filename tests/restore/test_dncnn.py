import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from modicum.restore.dncnn import DnCNN, dncnn_of_cost


def test_published_size():
    first, hidden, last = 9 * 64 + 64, 9 * 64 * 64 + 2 * 64, 9 * 64 + 1
    assert sum(p.numel() for p in DnCNN(1).parameters()) == first + 15 * hidden + last == 556_097


@pytest.mark.parametrize(("channels", "scale"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_counted_cost_is_the_stated_one(channels, scale):
    network = DnCNN(channels, 8, depth=5, scale=scale).eval()
    counter = FlopCounterMode(display=False)
    with counter:
        result = network(torch.zeros(1, channels, 10, 12))
    assert result.shape == (1, channels, 10 * scale, 12 * scale)
    assert counter.get_total_flops() == 2 * 120 * network.macs_per_pixel


@given(
    budget=st.integers(2_000, 8_000_000),
    depth=st.integers(2, 20),
    channels=st.sampled_from([1, 3]),
    scale=st.integers(1, 4),
)
def test_width_is_the_largest_that_the_budget_pays(budget, depth, channels, scale):
    network = dncnn_width(channels, budget, depth, scale)
    assert cost(channels, network, depth, scale) <= budget < cost(channels, network + 1, depth, scale)


def dncnn_width(channels, budget, depth, scale):
    with torch.device("meta"):
        return dncnn_of_cost(channels, budget, depth=depth, scale=scale).features


def cost(channels, features, depth, scale):
    return 9 * features * channels + 9 * features**2 * (depth - 2) + 9 * features * channels * scale**2


def test_zero_residual_leaves_the_image():
    network = DnCNN(1, 4, depth=3).eval()
    torch.nn.init.zeros_(network.residual[-1].weight)
    torch.nn.init.zeros_(network.residual[-1].bias)
    image = torch.rand(2, 1, 7, 9)
    assert torch.equal(network(image), image)


def test_learns_to_remove_a_constant():
    torch.manual_seed(0)
    network, image = DnCNN(1, 4, depth=3), torch.rand(4, 1, 12, 12)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = ((network(image + 0.5) - image) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_too_small_a_budget_is_refused():
    with pytest.raises(ValueError, match="100 multiply-adds per pixel are too few: one hidden channel costs 153"):
        dncnn_of_cost(1, 100)


def test_depth_below_two_is_refused():
    with pytest.raises(ValueError, match="depth must be at least 2, the first and the last convolution, got 1"):
        DnCNN(1, depth=1)
