import pytest
import torch
from torch import nn

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.paths import StaticPaths
from modicum.classify.blockdrop.policies import small_policy


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    backbone = SmallResNet(5, widths=(4, 8), blocks=2, shortcut="pool")
    return BlockDrop(backbone, num_classes=5, image_px=16, policy=small_policy(4, 16)).double().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(9, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def draw_routes(num_policies, seed):
    policies = torch.arange(num_policies)[:, None] >> torch.arange(4) & 1
    choices = torch.arange(9) % num_policies
    return policies.bool()[choices[torch.randperm(9, generator=torch.Generator().manual_seed(seed))]]


@pytest.mark.parametrize("min_rows", [1, 2, 3, 10])
@pytest.mark.parametrize("num_policies", [1, 3, 5, 9])
@torch.inference_mode()
def test_paths_give_what_the_network_gives(network, images, num_policies, min_rows):
    routes = draw_routes(num_policies, seed=num_policies)
    paths = StaticPaths(network, min_rows=min_rows)
    expected = network.run(images, routes)
    torch.testing.assert_close(paths.run(images, routes), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(paths.run(images, routes), expected, rtol=1e-9, atol=1e-9)


@torch.inference_mode()
def test_empty_batch_is_legal(network):
    logits = StaticPaths(network).run(torch.empty(0, 3, 16, 16).double(), torch.empty(0, 4, dtype=torch.bool))
    assert logits.shape == (0, 5)


@torch.inference_mode()
def test_paths_are_prepared_once_and_the_one_unused_for_longest_goes(network, images):
    made = []

    def prepare(plain):
        made.append(plain)
        return plain

    paths = StaticPaths(network, capacity=2, prepare=prepare)
    routes = [torch.tensor([bits] * 2).bool() for bits in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0])]
    for number in (0, 1, 0, 2, 0, 1):
        paths.run(images[:2], routes[number])
    assert len(made) == 4  # the second is made again, the first never left
    assert len(paths) == 2


@torch.inference_mode()
def test_rare_policies_get_no_path(network, images):
    routes = draw_routes(3, seed=0)[:4]
    routes[:3], routes[3] = routes[0].clone(), ~routes[0]
    paths = StaticPaths(network, min_rows=2)
    paths.run(images[:4], routes)
    assert len(paths) == 1


@torch.inference_mode()
def test_paths_share_the_weights(network, images):
    seen = []
    StaticPaths(network, prepare=lambda plain: seen.append(plain) or plain).run(images, draw_routes(3, seed=2))
    ours = {value.data_ptr() for value in network.state_dict().values()}
    assert all({value.data_ptr() for value in plain.state_dict().values()} <= ours for plain in seen)
    assert all(isinstance(plain, nn.Module) for plain in seen)


def test_capacity_of_nothing_is_refused(network):
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        StaticPaths(network, capacity=0)
