import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modicum.adaptive.calibration import calibrate
from modicum.adaptive.evidence import score, tabulate
from modicum.adaptive.knobs import BudgetError
from modicum.classify.evidence import judge_hits
from modicum.classify.static.network import OneForAll, StaticFamily, rebuild_static
from modicum.storage.errors import RecipeError
from modicum.storage.weights import load_network, save_network

SHARES = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda shares: sorted([1.0, *shares], reverse=True))


def linear(inputs_px=32, num_classes=5, channels=1):
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    )


def test_members_stand_dearest_first_with_their_counted_cost(family):
    assert family.names == ("photo_resnet", "digit_resnet")
    assert family.costs.per_route == (4_056_320.0, 3_060_032.0)
    assert family.costs.decision == 0
    assert family.costs.plain == 4_056_320


def test_logits_are_those_of_the_member_alone(family, images):
    for route, member in enumerate(family.networks):
        logits = family.run(images, torch.full((6,), route))
        torch.testing.assert_close(logits, member(images), rtol=0, atol=0)


def test_members_may_serve_one_batch_together(family, images):
    routes = torch.tensor([0, 1, 1, 0, 1, 0])
    both = torch.stack([member(images) for member in family.networks])
    torch.testing.assert_close(family.run(images, routes), both[routes, torch.arange(6)])


def test_only_the_chosen_member_runs(family, images):
    calls = []
    hooks = [
        member.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, member in zip(family.names, family.networks, strict=True)
    ]
    family.predict(images, knob=0.5)
    for hook in hooks:
        hook.remove()
    assert calls == ["digit_resnet"]


@pytest.mark.parametrize(("knob", "name"), [(0.0, "photo_resnet"), (0.2, "digit_resnet"), (1.0, "digit_resnet")])
def test_knob_is_the_share_of_the_dearest_cost_that_is_spared_at_least(family, images, knob, name):
    assert family.costs.names(family.predict(images, knob).routes) == [name] * 6


def test_prediction_costs_what_the_member_costs(family, images):
    routed = family.predict(images, 1.0)
    assert routed.macs.tolist() == [3_060_032.0] * 6
    assert routed.outputs.shape == (6, 5)


@given(shares=SHARES, knobs=st.tuples(st.floats(-1, 2), st.floats(-1, 2)))
def test_cost_never_rises_with_the_knob_and_all_samples_agree(shares, knobs):
    policy, scores = OneForAll(shares), torch.zeros(3, 1)
    first, second = (policy.decide(scores, knob) for knob in sorted(knobs))
    assert len(set(first.tolist())) == len(set(second.tolist())) == 1
    assert shares[int(first[0])] >= shares[int(second[0])]


@given(shares=SHARES)
def test_knob_range_goes_from_the_dearest_to_the_cheapest(shares):
    policy, scores = OneForAll(shares), torch.zeros(2, 1)
    dearest, cheapest = (policy.decide(scores, knob) for knob in policy.knob_range(scores))
    assert shares[int(dearest[0])] == max(shares)
    assert shares[int(cheapest[0])] == min(shares)


def test_no_images_take_no_route(family):
    routed = family.predict(torch.empty(0, 3, 32, 32), 0.5)
    assert routed.outputs.shape == (0, 5)
    assert len(routed.routes) == 0


def test_calibration_takes_the_dearest_member_within_the_budget(family, images):
    batches = [(images, torch.zeros(6, dtype=torch.int64))]
    scored, table = score(family, batches, tuple("abcdef")), tabulate(family, batches, judge_hits)
    found = [
        calibrate(scored, table.outcome, family.policy, family.costs, share * family.costs.plain).achieved
        for share in (1.0, 0.99, 0.76)
    ]
    assert found == [4_056_320.0, 3_060_032.0, 3_060_032.0]
    with pytest.raises(BudgetError, match="below the cheapest routes"):
        calibrate(scored, table.outcome, family.policy, family.costs, 0.7 * family.costs.plain)


def test_plain_network_is_a_copy_of_the_dearest_member(family, images):
    plain = family.plain_network().eval()
    torch.testing.assert_close(plain(images), family.networks[0](images), rtol=0, atol=0)
    assert not {id(each) for each in plain.parameters()} & {id(each) for each in family.parameters()}


def test_family_survives_a_file(family, images, tmp_path):
    save_network(tmp_path / "model.safetensors", family)
    again = load_network(tmp_path / "model.safetensors", {"static": rebuild_static})
    torch.testing.assert_close(again(images), family(images), rtol=0, atol=0)


def test_own_modules_may_be_members(images):
    family = StaticFamily({"thin": linear(), "thick": linear(channels=4)}, num_classes=5, image_px=32)
    assert family.names == ("thick", "thin")
    assert family(images).shape == (6, 5)


def test_wrong_images_are_refused(family):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\), got \(1, 3, 48, 48\)"):
        family.predict(torch.zeros(1, 3, 48, 48))


def test_one_member_is_no_family():
    with pytest.raises(ValueError, match="at least two networks, got thin"):
        StaticFamily({"thin": linear()}, num_classes=5, image_px=32)


def test_member_with_other_classes_is_refused():
    with pytest.raises(ValueError, match=r"member odd cannot be used: for 2 images of 32 px it returns \(2, 7\)"):
        StaticFamily({"thin": linear(), "odd": linear(num_classes=7)}, num_classes=5, image_px=32)


def test_member_that_fails_at_the_size_is_refused():
    wide = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 5))
    with pytest.raises(ValueError, match="member wide cannot be used: at 32 px it fails with"):
        StaticFamily({"thin": linear(), "wide": wide}, num_classes=5, image_px=32)


def test_unknown_member_is_refused():
    with pytest.raises(RecipeError, match="did you mean digit_resnet"):
        rebuild_static(["digit_resnt", "photo_resnet"], num_classes=5, image_px=32)
