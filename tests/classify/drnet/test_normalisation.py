import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.normalisation import (
    ResolutionNorm,
    ResolutionSwitch,
    make_resolution_aware,
    without_switch,
)


def aware(backbone, num_resolutions=3, **options):
    switch = ResolutionSwitch()
    make_resolution_aware(backbone, num_resolutions, switch, **options)
    return switch


def norms_of(network):
    return [module for module in network.modules() if isinstance(module, ResolutionNorm)]


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "per_set"), [("resnet18", 9_600), ("resnet50", 53_120), ("resnet101", 105_344), ("mobilenet_v2", 34_112)]
)
def test_each_further_resolution_adds_one_set_of_affine_parameters(name, per_set):
    backbone = create_backbone(name, 1000).to("meta")
    before = num_parameters(backbone)
    aware(backbone, 3)
    assert num_parameters(backbone) == before + 2 * per_set


def test_all_other_weights_are_shared():
    backbone = create_backbone("digit_resnet", 10)
    before = dict(backbone.named_parameters())
    aware(backbone)
    after = dict(backbone.named_parameters())
    shared = {name for name in before if "bn" not in name}
    assert shared == {name for name in after if "per_resolution" not in name}
    assert all(after[name] is before[name] for name in shared)


def test_switching_changes_the_normalisation_alone():
    backbone = create_backbone("digit_resnet", 10).eval()
    switch = aware(backbone)
    nn.init.constant_(backbone.bn1.per_resolution[2].weight, 3.0)
    inputs, outputs = [], []
    backbone.bn1.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    backbone.bn1.register_forward_hook(lambda module, args, output: outputs.append(output) or output)
    for index in (0, 2):
        with switch.at(index):
            backbone(torch.ones(1, 3, 16, 16))
    assert torch.equal(inputs[0], inputs[1])
    torch.testing.assert_close(outputs[1], 3 * outputs[0])


def test_copies_start_as_the_original_and_share_nothing():
    norm = nn.BatchNorm2d(4)
    nn.init.uniform_(norm.weight)
    copies = ResolutionNorm(norm, 3, ResolutionSwitch()).per_resolution
    assert all(torch.equal(copy.weight, norm.weight) for copy in copies)
    assert len({copy.weight.data_ptr() for copy in [norm, *copies]}) == 4


def test_statistics_of_one_resolution_do_not_move_when_another_trains():
    switch = ResolutionSwitch()
    norm = ResolutionNorm(nn.BatchNorm2d(4), 3, switch).train()
    with switch.at(1):
        norm(5 + torch.randn(8, 4, 6, 6))
    assert [int(copy.num_batches_tracked) for copy in norm.per_resolution] == [0, 1, 0]
    assert norm.per_resolution[0].running_mean.abs().sum() == 0
    assert norm.per_resolution[1].running_mean.min() > 0.4


def test_gradients_reach_only_the_resolution_that_ran():
    switch = ResolutionSwitch()
    norm = ResolutionNorm(nn.BatchNorm2d(4), 2, switch)
    with switch.at(1):
        norm(torch.randn(8, 4, 6, 6)).square().sum().backward()
    assert norm.per_resolution[0].weight.grad is None
    assert norm.per_resolution[1].weight.grad is not None


def test_norm_with_a_built_in_activation_keeps_it():
    norm = BatchNormAct2d(4).eval()
    images = torch.randn(2, 4, 5, 5)
    copies = ResolutionNorm(norm, 2, ResolutionSwitch()).eval()
    assert torch.equal(copies(images), norm(images))
    assert copies(images).min() == 0


def test_network_with_built_in_activations_answers_as_before():
    backbone = create_backbone("regnety_002", 10).eval()
    images = torch.randn(2, 3, 64, 64)
    before = backbone(images)
    aware(backbone)
    torch.testing.assert_close(backbone(images), before)


@pytest.mark.parametrize(("name", "shortcuts"), [("resnet18", 3), ("resnet50", 4), ("regnety_002", 4)])
def test_shared_shortcuts_keep_their_single_norm(name, shortcuts):
    switched, shared = create_backbone(name, 10), create_backbone(name, 10)
    aware(switched)
    aware(shared, shortcut_norm="shared")
    assert len(norms_of(switched)) - len(norms_of(shared)) == shortcuts


def test_published_weights_have_the_shortcut_norm_at_its_place():
    backbone = create_backbone("resnet18", 10)
    aware(backbone, shortcut_norm="shared")
    assert isinstance(backbone.layer2[0].downsample[1], nn.BatchNorm2d)
    assert isinstance(backbone.layer2[0].bn1, ResolutionNorm)


def test_switch_returns_after_an_error():
    switch = ResolutionSwitch()
    with pytest.raises(ZeroDivisionError), switch.at(2):
        raise ZeroDivisionError
    assert switch.index == 0


def test_switches_nest():
    switch = ResolutionSwitch()
    with switch.at(2):
        with switch.at(1):
            assert switch.index == 1
        assert switch.index == 2


def test_network_without_the_switch_is_plain():
    backbone = create_backbone("digit_resnet", 10)
    plain_names = set(backbone.state_dict())
    aware(backbone)
    plain = without_switch(backbone, 1)
    assert set(plain.state_dict()) == plain_names
    assert norms_of(plain) == []
    assert norms_of(backbone)
