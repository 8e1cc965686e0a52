import subprocess
import sys
from itertools import pairwise

import pytest

from modicum.classify.ranet.structure import CIFAR_8_EXITS, STRUCTURES, Structure


@pytest.mark.parametrize(("name", "exits"), [("cifar-8-exits", 8), ("cifar-6-exits", 6), ("imagenet-large", 8)])
def test_presets_have_the_published_number_of_exits(name, exits):
    assert STRUCTURES[name].num_exits == len(STRUCTURES[name].subnetworks()[-1]) == exits


def test_defaults_are_those_of_the_authors():
    assert Structure() == STRUCTURES["cifar-6-exits"]


def test_lists_as_files_hold_them_become_tuples():
    assert Structure(scales=[1, 2, 3], growth_factors=[4, 2, 1], bottleneck_factors=[4, 2, 1]) == Structure()


def test_lengthening_gives_block_k_the_same_layers_in_every_subnetwork():
    subnetworks = Structure(layers=2, layer_mode="lengthening").subnetworks()
    assert [[block.layers for block in blocks] for blocks in subnetworks] == [
        [2, 4],
        [2, 4, 6, 8],
        [2, 4, 6, 8, 10, 12],
    ]


def test_halvings_fall_where_coarser_subnetworks_ended():
    halving = [[block.number for block in blocks if block.halves] for blocks in CIFAR_8_EXITS.subnetworks()]
    assert halving == [[], [2], [2, 4], [4, 6]]


def test_second_subnetwork_at_the_coarsest_scale_halves_nothing():
    structure = Structure(scales=(1, 1, 2), growth_factors=(2, 2, 1), bottleneck_factors=(2, 2, 1))
    assert [[block.number for block in blocks if block.halves] for blocks in structure.subnetworks()] == [[], [], [4]]


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_every_subnetwork_comes_down_to_the_coarsest_scale(structure):
    halvings = [sum(block.halves for block in blocks) for blocks in structure.subnetworks()]
    assert halvings == [scale - 1 for scale in structure.scales]


def test_channels_connect():
    for blocks in CIFAR_8_EXITS.subnetworks():
        assert all(before.outputs == after.inputs for before, after in pairwise(blocks))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer_mode": "lg"}, "layer_mode must be one of 'even', 'lengthening', got 'lg'"),
        ({"stem": "digits"}, "stem must be one of 'cifar', 'imagenet', got 'digits'"),
        ({"scales": ()}, r"scales must start at 1, the coarsest, and rise by 0 or 1 .*, got \(\)"),
        ({"scales": (2, 3, 4)}, r"scales must start at 1, the coarsest, .* got \(2, 3, 4\)"),
        ({"scales": (1, 3, 2)}, r"scales must start at 1, the coarsest, .* got \(1, 3, 2\)"),
        ({"scales": (1, 2, 4)}, r"rise by 0 or 1 from each sub-network to the next, got \(1, 2, 4\)"),
        ({"growth_factors": (4, 2)}, r"growth_factors must have one entry per scale, 3, got 2: \(4, 2\)"),
        ({"bottleneck_factors": (4, 2, 1, 1)}, "bottleneck_factors must have one entry per scale, 3, got 4"),
        ({"bottleneck_factors": (4, 2, 0)}, r"bottleneck_factors must be at least 1, got \(4, 2, 0\)"),
        ({"base_channels": 0}, "base_channels must be at least 1, got 0"),
        ({"growth": -1}, "growth must be at least 1, got -1"),
        ({"first_blocks": 0}, "first_blocks must be at least 1, got 0"),
        ({"block_step": 0}, "block_step must be at least 1, got 0"),
        ({"first_blocks": 10**30}, "first_blocks 10+ and block_step 2 give .* more than 1,000 blocks: lower them"),
        ({"block_step": 10**9}, "first_blocks 2 and block_step 10+ give .* more than 1,000 blocks: lower them"),
        ({"layers": 1}, "layers must be at least 2 where sub-networks are fused, got 1"),
        ({"compression": 0.0}, "compression must lie between 0 and 1, both excluded, got 0.0"),
        ({"compression": 1.0}, "compression must lie between 0 and 1, both excluded, got 1.0"),
        (
            {"compression": 0.1},
            "compression 0.1 leaves no channel for the coarser sub-network where a layer adds 6: raise",
        ),
        ({"reduction": 0.0}, "reduction must be above 0 and at most 1, got 0.0"),
        ({"reduction": 0.001}, "reduction 0.001 leaves nothing of 185 channels: raise it"),
    ],
)
def test_impossible_structure_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Structure(**wrong)


def test_one_subnetwork_may_have_blocks_of_one_layer():
    structure = Structure(scales=(1,), growth_factors=(1,), bottleneck_factors=(1,), layers=1)
    assert structure.num_exits == 2


def test_structures_need_no_torch():
    code = "import sys, modicum.classify.ranet.structure; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
