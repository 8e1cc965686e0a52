import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.contract import Group
from modicum.classify.cascade.members import (
    Member,
    MemberCascade,
    View,
    common_format,
    rebuild_cascade,
    rebuild_member,
)
from modicum.classify.classifier_builders import PLACES, classifier_builder
from modicum.nn.pretrained import ImageFormat
from modicum.storage.errors import WeightsError
from modicum.storage.weights import load_network, save_network
from modicum.systems import SYSTEMS

SMALL = ImageFormat((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 16, 16, "bilinear")
LARGE = ImageFormat((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32, 36, "bicubic")


def member(name, macs, images):
    return Member(name, macs, images, {"kind": "network", "library": None, "network": name})


@pytest.fixture(scope="module")
def members():
    return [member("cifar_resnet8", 10.0, SMALL), member("digit_resnet", 40.0, LARGE)]


@pytest.fixture(scope="module")
def cascade(members):
    torch.manual_seed(0)
    network = MemberCascade(
        [each.to_json() for each in members], num_classes=5, images=common_format([SMALL, LARGE]).to_json()
    )
    network.policy = NestedThresholds(torch.tensor([[2.0], [0.3], [0.1], [0.0]]))
    return network.eval()


@pytest.fixture(scope="module")
def images(cascade):
    side = cascade.image_px
    return torch.randn(9, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_common_images_show_the_widest_view_as_finely_as_the_finest_member_needs(cascade):
    # The larger member cuts 32 px out of 36: the smaller one sees it whole, so the cascade gets all 36.
    assert cascade.images == replace(LARGE, size_px=36, short_px=36)


def test_members_that_cut_alike_get_the_size_of_the_largest():
    found = common_format([replace(LARGE, size_px=160, short_px=183), replace(LARGE, size_px=224, short_px=256)])
    assert (found.size_px, found.short_px) == (224, 256)


def test_member_of_the_common_images_gets_them_as_they_are():
    pixels = torch.rand(2, 3, 36, 36)
    given = replace(LARGE, size_px=32)
    assert torch.equal(View(given, given)(pixels[..., :32, :32]), pixels[..., :32, :32])


def test_each_member_sees_its_part_at_its_size_with_its_normalisation():
    pixels = torch.rand(2, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    given = replace(LARGE, size_px=36)

    def normalised(x, images):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (images.mean, images.std))
        return (x - mean) / std

    whole = F.interpolate(pixels, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(View(given, SMALL)(normalised(pixels, given)), normalised(whole, SMALL))
    cut = View(given, LARGE)(normalised(pixels, given))
    torch.testing.assert_close(cut, normalised(pixels[..., 2:34, 2:34], LARGE))


def test_cascade_answers_as_its_members_would_one_by_one(cascade, images):
    first, second = (network(images).softmax(dim=1) for network in cascade.networks)
    routed = cascade.predict(images, knob=1 / 3)
    best = first.topk(2, dim=1).values
    leaves = best[:, 0] - best[:, 1] >= 0.3
    expected = torch.where(leaves[:, None], first, (first + second) / 2)
    torch.testing.assert_close(routed.outputs.exp(), expected, atol=1e-5, rtol=1e-4)
    assert routed.macs.tolist() == [10.0 if left else 50.0 for left in leaves.tolist()]


def test_route_names_all_members_that_run(cascade):
    assert cascade.costs.names(torch.arange(2)) == ["cifar_resnet8", "cifar_resnet8 + digit_resnet"]


def test_later_members_run_only_on_images_that_stay(cascade, images):
    seen = []
    hook = cascade.networks[1].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    routes = cascade.predict(images, knob=2 / 3).routes
    hook.remove()
    assert sum(seen) == int((routes == 1).sum())


def test_steps_one_by_one_give_the_answers_of_a_batch(cascade, images):
    expected = cascade.predict(images, 1 / 3)
    stepped = cascade.advance(Group.start(images), 1 / 3)
    assert len(stepped.rows) + sum(len(group.rows) for group in stepped.survivors) == len(images)
    if stepped.finished is not None:
        torch.testing.assert_close(stepped.finished.outputs, expected.outputs[stepped.rows])


def test_saved_cascade_is_the_same_cascade(cascade, images, tmp_path):
    save_network(tmp_path / "model.safetensors", cascade)
    loaded = load_network(tmp_path / "model.safetensors", {"cascade": rebuild_cascade})
    assert torch.equal(loaded.predict(images, 1 / 3).outputs, cascade.predict(images, 1 / 3).outputs)
    assert loaded.members == cascade.members


def test_plain_network_is_the_most_expensive_candidate_even_if_dropped(members):
    third = member("cifar_resnet20", 99.0, LARGE)
    network = MemberCascade(
        [each.to_json() for each in members],
        num_classes=5,
        images=common_format([SMALL, LARGE]).to_json(),
        plain=third.to_json(),
        dropped=[["cifar_resnet20", 99.0]],
    ).eval()
    images = torch.randn(2, 3, network.image_px, network.image_px)
    assert network.costs.plain == 99.0
    assert torch.equal(network.plain_network()(images), network.networks[2](images))
    assert network.predict(images, 0.0).routes.tolist() == [1, 1]


def test_one_member_alone_is_a_cascade_that_never_goes_on(members):
    network = MemberCascade([members[1].to_json()], num_classes=5, images=LARGE.to_json()).eval()
    images = torch.randn(3, 3, 32, 32)
    expected = network.networks[0](images).log_softmax(dim=1)
    torch.testing.assert_close(network.predict(images, 0.7).outputs, expected)


def test_builders_of_the_wing_are_those_of_its_systems():
    assert set(PLACES) == {name for name, system in SYSTEMS.items() if system.wing == "classify"}
    for name in PLACES:
        assert classifier_builder(name) is SYSTEMS[name].network()
    with pytest.raises(WeightsError, match="'qanet' is no classifier of images"):
        classifier_builder("qanet")


def test_plain_network_of_a_run_is_rebuilt_from_its_config():
    trained = classifier_builder("drnet")(
        backbone="digit_resnet",
        num_classes=4,
        resolutions=(32, 16),
        predictor="resnet10",
        shortcut_norm="switched",
        kernel="antialiased",
    )
    plain = trained.plain_network().eval()
    build = {"kind": "run", "network": "drnet", "config": trained.storage_config()}
    again = rebuild_member(build, 4)
    again.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), plain(images))


def test_member_of_no_kind_is_refused():
    with pytest.raises(ValueError, match="a member is a network, a run or onnx, got 'script'"):
        rebuild_member({"kind": "script"}, 2)


def test_copies_share_nothing(cascade):
    other = copy.deepcopy(cascade)
    with torch.no_grad():
        next(other.networks[0].parameters()).zero_()
    assert next(cascade.networks[0].parameters()).abs().sum() > 0
