import copy

import pytest
import timm
import torch
import torchvision
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.network import DRNet
from modicum.exporting.folding import ScaleShift, fold_batch_norms


def with_random_norms(network):
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, BatchNorm) and norm.running_mean is not None:
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(norm.bias, 0, 0.3, generator=generator)
    return network.eval()


def images(side=32):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


@torch.no_grad()
def assert_equal_answers(network, side=32):
    folded = fold_batch_norms(network)
    expected = network(images(side))
    # Relative to the largest output: weights change by a rounding, and layers add up.
    torch.testing.assert_close(folded(images(side)), expected, rtol=0, atol=1e-5 * max(1, float(expected.abs().max())))
    return folded


BACKBONES = ["digit_resnet", "photo_resnet", "cifar_resnet20", "resnet18", "mobilenet_v2", "regnety_002"]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_answer_alike_with_every_norm_in_a_convolution(name):
    folded = assert_equal_answers(with_random_norms(create_backbone(name, 5)))
    assert (count(folded, BatchNorm), count(folded, ScaleShift)) == (0, 0)


def test_norms_before_their_convolutions_become_scale_and_shift():
    network = with_random_norms(torchvision.models.densenet121(weights=None, num_classes=5))
    folded = assert_equal_answers(network)
    assert count(folded, BatchNorm) == 0
    assert count(folded, ScaleShift) > 0


def test_a_network_that_cannot_be_traced_answers_alike():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x)) if x.mean() > -100 else x

    assert count(assert_equal_answers(with_random_norms(Asks())), ScaleShift) == 1


def test_the_activation_of_timms_norm_is_kept_in_both_forms():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4), nn.ReLU(), BatchNormAct2d(4, act_layer=nn.SiLU))
    folded = assert_equal_answers(with_random_norms(network))
    assert (count(folded, ScaleShift), count(folded, nn.SiLU)) == (1, 1)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)


class ReadsTwice(Residual):
    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) + x


class CallsConvTwice(Residual):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv(-x)


class CallsNormTwice(Residual):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(x)


class ReadsWeights(Residual):
    def forward(self, x):
        return self.norm(self.conv(x)) * self.conv.weight.mean()


class SharesWeights(Residual):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(3, 3, 1, bias=False)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return self.norm(self.conv(x)) + self.other(x)


class SwitchesPath(Residual):
    def __init__(self):
        super().__init__()
        self.second, self.uses_second = nn.BatchNorm2d(3), False

    def forward(self, x):
        x = self.conv(x)
        return self.second(x) if self.uses_second else self.norm(x)


@pytest.mark.parametrize(
    "kind", [ReadsTwice, CallsConvTwice, CallsNormTwice, ReadsWeights, SharesWeights, SwitchesPath]
)
def test_a_convolution_whose_result_is_not_only_the_norms_stays(kind):
    network = with_random_norms(kind())
    folded = assert_equal_answers(network)
    assert torch.equal(folded.conv.weight, network.conv.weight)


def test_a_path_switched_after_folding_answers_alike():
    network = with_random_norms(SwitchesPath())
    folded = fold_batch_norms(network)
    network.uses_second = folded.uses_second = True
    torch.testing.assert_close(folded(images()), network(images()))


def test_every_resolution_of_a_drnet_answers_alike():
    network = with_random_norms(DRNet("digit_resnet", num_classes=5, resolutions=(48, 32), predictor="small"))
    folded = fold_batch_norms(network)
    torch.testing.assert_close(folded.every_resolution(images(48)), network.every_resolution(images(48)))


def test_a_norm_in_two_places_stays_one():
    norm = nn.BatchNorm2d(3)
    folded = assert_equal_answers(with_random_norms(nn.Sequential(norm, nn.ReLU(), norm)))
    assert folded[0] is folded[2]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm3d(3), nn.SyncBatchNorm(3)]
)
def test_a_norm_alone_becomes_scale_and_shift(norm):
    norm.running_var.fill_(4.0)
    norm.running_mean.fill_(1.0)
    inputs = torch.full((2, 3, *[2] * {nn.BatchNorm1d: 1, nn.BatchNorm3d: 3}.get(type(norm), 2)), 5.0)
    torch.testing.assert_close(fold_batch_norms(norm)(inputs), torch.full_like(inputs, 2.0))


def test_a_norm_by_the_statistics_of_its_batch_stays():
    folded = fold_batch_norms(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)))
    assert count(folded, BatchNorm) == 1


def test_a_derived_norm_of_unknown_meaning_stays():
    class Negated(nn.BatchNorm2d):
        def forward(self, x):
            return -super().forward(x)

    assert count(assert_equal_answers(with_random_norms(nn.Sequential(nn.Conv2d(3, 4, 1), Negated(4)))), Negated) == 1


def test_the_network_is_not_changed():
    network = timm.create_model("regnety_002", num_classes=5).train()
    before = copy.deepcopy(network.state_dict())
    fold_batch_norms(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_scale_and_shift_needs_running_statistics():
    with pytest.raises(ValueError, match="without running statistics has no fixed scale"):
        ScaleShift(nn.BatchNorm2d(3, track_running_stats=False))
