import pytest
import torch
import torch.nn.functional as F

from modicum.classify.ranet.blocks import DenseBlock, FusionBlock, create_head, resize_together
from modicum.classify.ranet.structure import CIFAR_8_EXITS, Structure

STRUCTURE = Structure(scales=(1, 2, 2), growth_factors=(2, 1, 1), bottleneck_factors=(2, 1, 1), base_channels=4)


def resize(x, like):
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


def plain_dense(block, x):
    recorded = [x]
    for layer in block.layers:
        recorded.append(torch.cat([recorded[-1], layer(recorded[-1])], dim=1))
    return block.transition(recorded[-1]), recorded


def plain_fusion(block, x, coarser):
    """The block layer by layer, every map resized by itself, whether it needs to be or not."""
    recorded = [x]
    for layer, up, low in zip(block.layers, block.from_coarser, coarser[:-1], strict=True):
        new = layer(recorded[-1])
        recorded.append(torch.cat([resize(recorded[-1], new), resize(up(low), new), new], dim=1))
    appended = resize(block.append_coarser(coarser[-1]), recorded[-1])
    return block.transition(torch.cat([recorded[-1], appended], dim=1)), recorded


def random_norms(module):
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return module.eval()


@pytest.fixture
def pairs():
    """Every block of two sub-networks with what it and its plain form give: (plan, record, output, plain ones)."""
    torch.manual_seed(0)
    coarse, fine, _ = STRUCTURE.subnetworks()
    found, records, plain_records = [], [], []
    with torch.no_grad():
        for plans, side in ((coarse, 4), (fine, 8)):
            x = torch.randn(3, plans[0].inputs, side, side)
            previous, plain_previous, records, plain_records = records, plain_records, [], []
            for plan in plans:
                beside = plan.number - 1
                block = random_norms(FusionBlock(plan) if plan.coarser else DenseBlock(plan))
                out, record = block(x, previous[beside]) if plan.coarser else block(x)
                plain = plain_fusion(block, x, plain_previous[beside]) if plan.coarser else plain_dense(block, x)
                found.append((plan, record, out, plain))
                records.append(record)
                plain_records.append(plain[1])
                x = out
    return found


def test_blocks_equal_the_formula_layer_by_layer(pairs):
    assert {plan.coarser is not None for plan, *_ in pairs} == {True, False}
    assert any(plan.halves for plan, *_ in pairs)
    assert any(plan.shrunk for plan, *_ in pairs)
    for _, _, out, (plain, _) in pairs:
        torch.testing.assert_close(out, plain, rtol=1e-5, atol=1e-5)


def test_features_after_each_layer_are_prefixes_of_what_is_recorded(pairs):
    for plan, record, _, (_, recorded) in pairs:
        for layer, expected in enumerate(recorded):
            kept = record[-1] if layer == plan.layers else record[0]
            torch.testing.assert_close(kept[:, : plan.recorded(layer)], expected, rtol=1e-5, atol=1e-5)


def test_maps_of_the_right_size_are_not_resized():
    x, small = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 3, 3)
    same, grown = resize_together([x, small], [(5, 5), (5, 5)])
    assert same is x
    assert torch.equal(grown, resize(small, x))


def test_skipped_resize_would_have_changed_no_bit():
    x = torch.randn(2, 5, 7, 7)
    assert torch.equal(resize(x, x), resize_together([x], [(7, 7)])[0])


def test_resizing_together_equals_one_by_one_bit_by_bit():
    torch.manual_seed(0)
    maps = [torch.randn(2, channels, side, side) for channels, side in ((3, 4), (1, 8), (2, 4), (4, 4))]
    sizes = [(8, 8), (8, 8), (8, 8), (7, 7)]
    expected = [F.interpolate(x, size=s, mode="bilinear", align_corners=True) for x, s in zip(maps, sizes, strict=True)]
    assert all(map(torch.equal, resize_together(maps, sizes), expected))


def test_fusion_block_resizes_once_where_sizes_allow(monkeypatch):
    plan = CIFAR_8_EXITS.subnetworks()[1][0]  # reads a block that does not halve, and does not halve
    calls, original = [], F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    FusionBlock(plan).eval()(torch.randn(1, 32, 16, 16), (torch.randn(1, 160, 8, 8),))
    assert len(calls) == 1


@pytest.mark.parametrize(("name", "stem", "parameters"), [("lite", "cifar", 6 * 5 + 5), ("full", "imagenet", 707)])
def test_heads_have_their_size(name, stem, parameters):
    head = create_head(name, 6, 5, stem=stem)
    assert sum(p.numel() for p in head.parameters()) == parameters  # full: 2 * (9 * 36 + 12) + 35
    assert head(torch.randn(2, 6, 8, 8)).shape == (2, 5)
