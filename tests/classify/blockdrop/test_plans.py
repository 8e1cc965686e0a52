import copy
import functools

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.regnet import RegNetCfg
from torch import nn
from torchvision.models.regnet import BlockParams
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from modicum.classify.backbones import SmallResNet, create_backbone
from modicum.classify.blockdrop.droppable import BlockSwitch, make_droppable
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.plans import (
    MaskedPlan,
    SelectedPlan,
    gather_rows,
    rows_to_run,
    sort_policies,
    write_rows,
)
from modicum.classify.blockdrop.policies import small_policy

BACKBONES = {
    "ours": lambda: SmallResNet(5, widths=(4, 8), blocks=3, shortcut="pool"),
    "torchvision resnet": lambda: ResNet(BasicBlock, [2, 1, 1, 1], num_classes=5),
    "torchvision resnext": lambda: ResNet(Bottleneck, [2, 1, 1, 2], num_classes=5, groups=4, width_per_group=4),
    "torchvision regnet": lambda: torchvision.models.RegNet(
        BlockParams.from_init_params(depth=6, w_0=16, w_a=8, w_m=2, group_width=8, se_ratio=0.25), num_classes=5
    ),
    "torchvision mobilenet": lambda: torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.25),
    "timm resnet": lambda: timm.create_model("test_resnet", num_classes=5),
    "timm regnet": lambda: timm.models.RegNet(RegNetCfg(depth=6, w0=16, wa=16, wm=1.7, group_size=8), num_classes=5),
}
CHANNELS_LAST = torch.channels_last


@functools.cache
@torch.inference_mode(mode=False)  # the first to ask may be in that mode, the next may want gradients
def get(name):
    """A network in double precision, whose normalisations have seen data, so that no block is a bystander."""
    torch.manual_seed(0)
    backbone = BACKBONES[name]()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of these images alone
            nn.init.uniform_(module.weight, 0.3, 1)
            nn.init.normal_(module.bias, std=0.3)
    with torch.no_grad():
        backbone.train()(torch.randn(8, 3, 16, 16))
    num_blocks = len(make_droppable(copy.deepcopy(backbone), BlockSwitch()))
    return BlockDrop(backbone, num_classes=5, image_px=16, policy=small_policy(num_blocks, 16)).double().eval()


def draw_keep(num_rows, num_blocks, share, seed):
    return torch.rand(num_rows, num_blocks, generator=torch.Generator().manual_seed(seed)) < share


def draw_images(num_images, seed=1):
    return torch.randn(num_images, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_alike(found, expected):
    """Equal but for the rounding of convolutions, which depends on the size of the batch."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# --- all forms agree ---


@pytest.mark.parametrize("name", BACKBONES)
@settings(deadline=None, max_examples=5)
@given(num_images=st.integers(1, 5), share=st.sampled_from([0.2, 0.5, 0.8]), seed=st.integers(0, 2**31))
@torch.inference_mode()
def test_all_forms_agree_on_any_keep_matrix(name, num_images, share, seed):
    network, images = get(name), draw_images(num_images)
    keep = draw_keep(num_images, len(network.blocks), share, seed)
    masked = network.run(images, keep, form="masked")
    for form in ("selected", "sorted", "one by one"):
        assert_alike(network.run(images, keep, form=form), masked)


@settings(deadline=None, max_examples=25)
@given(
    num_images=st.integers(0, 9),
    num_policies=st.integers(1, 9),
    copies=st.integers(1, 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    is_last=st.booleans(),
)
@torch.inference_mode()
def test_all_forms_agree_with_copies_and_layouts(num_images, num_policies, copies, share, seed, is_last):
    network, images = get("ours"), draw_images(num_images)
    policies = draw_keep(num_policies, len(network.blocks), share, seed)
    keep = policies[torch.arange(copies * num_images) % num_policies]
    masked = network.run(images, keep, copies=copies, form="masked")
    if is_last:
        images = images.contiguous(memory_format=CHANNELS_LAST)
    for form in ("selected", "sorted"):
        assert_alike(network.run(images, keep, copies=copies, form=form), masked)


@pytest.mark.parametrize("form", ["selected", "sorted"])
def test_result_is_the_same_with_gradients(form):
    network, images = get("ours"), draw_images(6)
    keep = draw_keep(6, len(network.blocks), 0.5, seed=3)
    with torch.no_grad():
        expected = network.run(images, keep, form=form)
    assert_alike(network.run(images, keep, form=form).detach(), expected)


def test_gradients_of_selected_equal_those_of_masked():
    network, images = get("ours"), draw_images(6)
    keep = draw_keep(6, len(network.blocks), 0.5, seed=4)
    weights = [block.block.conv1.weight for block in network.blocks]
    selected, masked = (
        torch.autograd.grad(network.run(images, keep, form=form).square().sum(), weights, allow_unused=True)
        for form in ("sorted", "masked")
    )
    assert keep.any(dim=0).all()  # so every block has a gradient
    for found, expected in zip(selected, masked, strict=True):
        assert_alike(found, expected)


@torch.inference_mode()
def test_half_precision_keeps_its_type():
    network = copy.deepcopy(get("ours")).to(torch.bfloat16)
    keep = draw_keep(4, len(network.blocks), 0.5, seed=0)
    assert network.run(draw_images(4).bfloat16(), keep).dtype == torch.bfloat16


# --- what is executed ---


def note_rows(units):
    """How many rows each block and each shortcut computed, filled by hooks."""
    rows = {}

    def count(key):
        return lambda module, args: rows.update({key: rows.get(key, 0) + len(args[0])})

    handles = [unit.block.register_forward_pre_hook(count(("block", unit.index))) for unit in units]
    return rows, handles


@pytest.mark.parametrize("form", ["selected", "sorted", "one by one"])
@torch.inference_mode()
def test_each_block_computes_exactly_the_rows_that_keep_it(form):
    network, images = get("ours"), draw_images(7)
    keep = draw_keep(7, len(network.blocks), 0.4, seed=5)
    keep[:, 1], keep[:, 2] = False, True
    rows, handles = note_rows(network.blocks)
    network.run(images, keep, form=form)
    for handle in handles:
        handle.remove()
    assert [rows.get(("block", index), 0) for index in range(len(network.blocks))] == keep.sum(dim=0).tolist()


@torch.inference_mode()
def test_copies_share_the_stem():
    network, images = get("ours"), draw_images(4)
    keep = draw_keep(8, len(network.blocks), 0.5, seed=6)
    seen = []
    handle = network.backbone.conv1.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    logits = network.run(images, keep, copies=2)
    handle.remove()
    assert seen == [4]
    assert_alike(logits, torch.cat([network.run(images, keep[:4]), network.run(images, keep[4:])]))


@torch.inference_mode()
def test_one_image_is_neither_gathered_nor_written(monkeypatch):
    network, images = get("ours"), draw_images(1)
    module = "modicum.classify.blockdrop.plans."
    for function in ("gather_rows", "write_rows", "rows_to_run", "sort_policies", "select_run_scatter"):
        monkeypatch.setattr(module + function, lambda *args: pytest.fail("one image needs no work on indices"))
    network.run(images, draw_keep(1, len(network.blocks), 0.5, seed=7))


@torch.inference_mode()
def test_features_before_the_first_block_are_not_overwritten():
    network, images = get("ours"), draw_images(5)
    keep = draw_keep(5, len(network.blocks), 0.5, seed=8)
    seen = []
    handle = network.backbone.stem_pool.register_forward_hook(lambda module, args, output: seen.append(output))
    network.run(images, keep, form="selected")
    first = seen[0].clone()
    network.run(images, ~keep, form="selected")
    handle.remove()
    assert torch.equal(first, seen[0])


class Bridged(nn.Module):
    """Adds the features of its first block again at its end: nobody may write over them."""

    def __init__(self):
        super().__init__()
        blocks = create_backbone("slim_resnet20_pool", 5).layers[0]
        self.a, self.b = blocks[0], blocks[1]
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        first = self.a(self.stem(x))
        return self.head((self.b(first) + first).mean((2, 3)))


@torch.inference_mode()
def test_features_that_are_read_twice_are_not_overwritten():
    torch.manual_seed(0)
    network = BlockDrop(Bridged(), num_classes=5, image_px=16, policy=small_policy(2, 16)).double().eval()
    images, keep = draw_images(2), torch.tensor([[True, True], [True, False]])
    assert_alike(network.run(images, keep), network.run(images, keep, form="masked"))


# --- a dropped first block ---


@torch.inference_mode()
def test_negative_values_pass_a_dropped_first_block_with_a_convolution():
    network, images = get("torchvision resnet"), draw_images(2)
    block = network.blocks[2]
    assert not block.is_identity
    keep = torch.ones(2, len(network.blocks), dtype=torch.bool)
    keep[1, 2] = False
    seen = []
    handle = block.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    network.run(images, keep, form="selected")
    handle.remove()
    (features, output) = seen[0]
    assert (output[0] >= 0).all()
    assert (output[1] < 0).any()
    assert_alike(output[1:], block.block.downsample(features[1:]))


# --- gates ---


def test_gradient_of_gates_matches_finite_differences():
    torch.manual_seed(0)
    backbone = SmallResNet(3, widths=(2, 4), blocks=1, shortcut="pool").double().eval()
    switch = BlockSwitch()
    make_droppable(backbone, switch)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def loss(gates):
        with switch.following(MaskedPlan(gates, copies=2)):
            return backbone(images).square().sum()

    gates = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (gates,))
    assert (torch.autograd.grad(loss(gates), gates)[0] != 0).all()


def test_gates_blend_block_and_shortcut():
    unit = get("torchvision resnet").blocks[2]
    features = torch.rand(2, 64, 4, 4, dtype=torch.float64)
    plan = MaskedPlan(torch.tensor([[0.0, 0.0, 0.25]] * 2))
    with torch.no_grad():
        expected = 0.25 * unit.block(features) + 0.75 * unit.shortcut(features)
        assert_alike(plan.run(unit, features), expected)


def test_gates_keep_the_type_of_the_features():
    unit = get("torchvision resnet").blocks[2]
    with torch.no_grad():
        output = MaskedPlan(torch.rand(2, 8)).run(unit, torch.rand(2, 64, 4, 4, dtype=torch.float64))
    assert output.dtype == torch.float64


# --- rows ---


@settings(deadline=None, max_examples=60)
@given(num_rows=st.integers(1, 12), num_blocks=st.integers(1, 6), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_rows_to_run_are_those_that_keep_the_block(num_rows, num_blocks, share, seed):
    keep = draw_keep(num_rows, num_blocks, share, seed)
    places = torch.arange(num_rows)
    for block, rows in enumerate(rows_to_run(keep, torch.device("cpu"))):
        if keep[:, block].any():
            assert torch.equal(places[rows], keep[:, block].nonzero()[:, 0])


def test_rows_side_by_side_are_a_slice():
    keep = torch.tensor([[0, 1], [1, 0], [1, 1]]).bool()
    together, apart = rows_to_run(keep, torch.device("cpu"))
    assert together == slice(1, 3)
    assert apart.tolist() == [0, 2]


def test_sorting_brings_equal_policies_together():
    keep = draw_keep(3, 5, 0.5, seed=1)[torch.tensor([0, 1, 2, 1, 0, 2, 2])]
    ordered = keep[sort_policies(keep)]
    changes = (ordered[1:] != ordered[:-1]).any(dim=1).sum()
    assert changes == 2


def test_outputs_come_back_in_the_order_of_the_rows():
    keep = draw_keep(9, 5, 0.5, seed=2)
    plan = SelectedPlan(keep, is_sorted=True)
    assert torch.equal(plan.restore(keep[plan.order]), keep)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 4, 6, 6), (7, 3, 5, 5), (7, 1, 1, 1), (7, 6)])
@pytest.mark.parametrize("is_last", [False, True])
def test_rows_are_gathered_and_written_in_every_layout(shape, dtype, is_last):
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    part = torch.randn(3, *shape[1:]).to(dtype)
    if is_last and len(shape) == 4:
        x, part = x.contiguous(memory_format=CHANNELS_LAST), part.contiguous(memory_format=CHANNELS_LAST)
    rows = torch.tensor([1, 2, 6])
    expected = x.clone()
    expected[rows] = part
    assert torch.equal(gather_rows(x, rows), x[rows])
    assert gather_rows(x, rows).stride()[1:] == x.stride()[1:] or len(shape) < 4
    write_rows(x, rows, part)
    assert torch.equal(x, expected)


def test_rows_of_another_layout_are_written():
    x, part = torch.zeros(3, 4, 2, 2), torch.randn(2, 4, 2, 2).contiguous(memory_format=CHANNELS_LAST)
    write_rows(x, torch.tensor([0, 2]), part)
    assert torch.equal(x[[0, 2]], part)


def test_rows_of_a_view_are_written():
    whole = torch.zeros(5, 4, 2, 3)
    part = torch.randn(2, 4, 2, 2)
    write_rows(whole[1:, :, :, 1:], torch.tensor([0, 2]), part)
    assert torch.equal(whole[[1, 3]][:, :, :, 1:], part)
    assert whole.count_nonzero() == part.numel()


def test_keep_vectors_for_other_images_are_refused():
    plan = SelectedPlan(torch.ones(4, 2, dtype=torch.bool), copies=2)
    unit = get("ours").blocks[0]
    with pytest.raises(ValueError, match="there must be 2 x 3 keep-vectors for 3 images, got 4"):
        plan.run(unit, torch.zeros(3, 4, 4, 4))
