import pytest
import torch
from torchvision.models import resnet18, resnet50

from modicum.classify.blockdrop.policies import create_policy, start_from_resnet18
from modicum.measuring.counting import count_network_macs

VALUE_HEAD = 65  # counted in the published size of the policies for CIFAR; nothing uses it


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("num_blocks", "parameters"), [(15, 75_680), (54, 78_215)])
def test_resnet8_has_the_published_size_and_cost(num_blocks, parameters):
    policy = create_policy("resnet8", num_blocks, 32)
    assert num_parameters(policy) + VALUE_HEAD == parameters  # 0.0757 M and 0.0782 M
    assert count_network_macs(policy, (1, 3, 32, 32)) == 12_238_848 + 64 * num_blocks  # 12.24 M


def test_resnet10_has_the_published_size_and_cost():
    policy = create_policy("resnet10", 33, 224)
    assert num_parameters(policy) == 4_922_721  # 4.923 M
    assert count_network_macs(policy, (1, 3, 224, 224)) == 235_958_784  # 235.96 M


@pytest.mark.parametrize("image_px", [8, 15, 16, 33])
def test_small_policy_takes_small_images(image_px):
    policy = create_policy("small", 7, image_px).eval()
    assert policy(torch.zeros(2, 3, image_px, image_px)).shape == (2, 7)


def test_small_policy_looks_at_half_the_size():
    full, half = (count_network_macs(create_policy("small", 7, px), (1, 3, px, px)) for px in (15, 16))
    assert half < full / 3


def test_untrained_policy_is_undecided():
    torch.manual_seed(0)
    policy = create_policy("resnet8", 54, 32).eval()
    assert (torch.sigmoid(policy(torch.rand(4, 3, 32, 32))) - 0.5).abs().mean() < 0.3


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="policy must be 'resnet8', 'resnet10', 'small' or a module, got 'resnet9'"):
        create_policy("resnet9", 5, 32)


def test_policy_starts_from_the_first_blocks_of_a_resnet18():
    source, policy = resnet18(), create_policy("resnet10", 33, 224)
    head = policy[1].fc.weight.clone()
    start_from_resnet18(policy, source.state_dict())
    assert torch.equal(policy[1].conv1.weight, source.conv1.weight)
    assert torch.equal(policy[1].layer4[0].downsample[0].weight, source.layer4[0].downsample[0].weight)
    assert torch.equal(policy[1].fc.weight, head)


def test_start_from_another_network_is_refused():
    with pytest.raises(ValueError, match=r"state must be that of a ResNet-18, but it lacks bn1.bias and \d+ more"):
        start_from_resnet18(create_policy("resnet10", 33, 224), {})
    shapes = r"layer1\.0\.conv1\.weight has shape \(64, 64, 1, 1\) and not \(64, 64, 3, 3\)"
    with pytest.raises(ValueError, match=shapes):
        start_from_resnet18(create_policy("resnet10", 33, 224), resnet50().state_dict())
    with pytest.raises(ValueError, match="policy must be a 'resnet10' policy, got a SmallResNet"):
        start_from_resnet18(create_policy("resnet8", 33, 32), resnet18().state_dict())
