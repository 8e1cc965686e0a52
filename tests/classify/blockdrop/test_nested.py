import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.nested import draw_depths, nested_paths, path_of_cost
from modicum.classify.blockdrop.network import BlockDrop
from modicum.storage.errors import RecipeError


def build(blocks):
    backbone = SmallResNet(10, widths=(4, 6, 8), blocks=blocks, stem_stride=2, shortcut="pool")
    return BlockDrop(backbone, num_classes=10, image_px=16, policy="small")


@pytest.fixture(scope="module")
def deep():
    return build(4)


def test_blocks_go_from_the_ends_of_the_stages_in_turn():
    assert nested_paths(build(3), 0.4).int().tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1, 0, 1, 1, 1],
        [1, 1, 0, 1, 1, 0, 1, 1, 0],
        [1, 0, 0, 1, 1, 0, 1, 1, 0],
        [1, 0, 0, 1, 0, 0, 1, 1, 0],
    ]


@given(least=st.floats(0.01, 0.95))
def test_each_path_is_a_part_of_the_one_before_and_keeps_the_first_block_of_each_stage(deep, least):
    keep = nested_paths(deep, least)
    assert (keep[1:] <= keep[:-1]).all()
    assert keep.sum(dim=1).tolist() == list(range(12, 12 - len(keep), -1))
    assert keep[:, [0, 4, 8]].all()
    assert keep[-1].sum() == max(3, round(least * 12))


@given(least=st.floats(0.01, 0.85), depths=st.integers(2, 14))
def test_few_depths_are_among_all_from_the_same_first_to_the_same_last(deep, least, depths):
    every, some = nested_paths(deep, least), nested_paths(deep, least, depths)
    assert len(some) == min(depths, len(every))
    assert torch.equal(some[[0, -1]], every[[0, -1]])
    steps = -some.sum(dim=1).diff()
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


@given(place=st.integers(0, 8))
def test_path_of_equal_cost_pays_for_no_policy(deep, place):
    paths = nested_paths(deep, 0.3)
    cost = float(deep.costs.of(paths)[place]) - deep.costs.decision
    assert torch.equal(path_of_cost(deep, paths, cost), paths[place])


@pytest.mark.parametrize(("blocks", "least"), [(1, 0.5), (2, 0.99)])
def test_paths_that_drop_nothing_are_refused(blocks, least):
    with pytest.raises(RecipeError, match=f"doubt.least {least} of {3 * blocks} blocks in 3 stages leaves none"):
        nested_paths(build(blocks), least)


def test_a_third_of_the_images_run_in_full_a_third_at_the_least_and_the_others_at_any_depth():
    torch.manual_seed(0)
    counts = torch.bincount(draw_depths(30_000, 10), minlength=10) / 30_000
    torch.testing.assert_close(counts[[0, 9]], torch.full((2,), 1 / 3 + 1 / 30), rtol=0, atol=0.02)
    torch.testing.assert_close(counts[1:9], torch.full((8,), 1 / 30), rtol=0, atol=0.01)
