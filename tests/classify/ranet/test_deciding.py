import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.exits import CLOSED, GeometricRule
from modicum.classify.ranet import deciding
from modicum.classify.ranet.export import describe_decision
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure

STRUCTURE = Structure(
    (1, 2, 2), (2, 1, 1), (2, 1, 1), base_channels=4, growth=4, first_blocks=1, block_step=1, layers=2
)
KNOBS = (-3.0, -0.3, 0.0, 0.2, 0.77, 2.5)


def fitted(exit_rule, num_samples=80):
    """A network with a rule fitted on logits that get better from exit to exit, and confidences beside them."""
    generator = torch.Generator().manual_seed(0)
    network = RANet(STRUCTURE, num_classes=4, exit_rule=exit_rule, temperature=True)
    labels = torch.randint(4, (num_samples,), generator=generator)
    signal = torch.nn.functional.one_hot(labels, 4)[:, None] * torch.tensor([1.0, 2.0, 3.0])[:, None]
    network.fit_exits(torch.randn(num_samples, 3, 4, generator=generator) + signal, labels)
    return network


def unfitted():
    return RANet(STRUCTURE, num_classes=4)


NETWORKS = {"common": unfitted(), "geometric": fitted("geometric"), "gain": fitted("gain")}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("knob", KNOBS)
def test_each_exit_lets_the_same_samples_leave(name, knob):
    network = NETWORKS[name]
    rule = deciding.read_rule(describe_decision(network, 0.2), num_exits=3, knob=0.2)
    confidence = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * 0.75 + 0.25
    for index in range(3):
        found = rule.leaves(index, confidence[:, index].numpy(), knob)
        np.testing.assert_array_equal(found, network.policy.leaves(index, confidence[:, index], knob).numpy())
    assert rule.open_exits(knob) == network.policy.open_exits(knob)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("knob", [-0.3, 0.2])
def test_confidence_that_is_not_a_number_leaves_at_the_last_exit_alone(name, knob):
    rule = deciding.read_rule(describe_decision(NETWORKS[name], 0.2), num_exits=3, knob=0.2)
    unknown = np.full(2, np.nan, np.float32)
    assert [rule.leaves(index, unknown, knob).tolist() for index in range(3)] == [[False] * 2, [False] * 2, [True] * 2]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), num_samples=st.integers(1, 30), levels=st.integers(1, 12), knob=st.floats(-4, 4))
def test_thresholds_for_another_knob_are_those_of_the_network(seed, num_samples, levels, knob):
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.randint(1, levels + 1, (num_samples, 3), generator=generator) / levels  # few levels: many ties
    rule = deciding.ShareRule(confidence.numpy(), solved=(-99.0, np.zeros(3, np.float32)))
    np.testing.assert_array_equal(rule.thresholds(knob), GeometricRule(confidence).thresholds(knob).numpy())


def test_the_thresholds_of_the_export_are_taken_as_stated():
    stated = {**describe_decision(NETWORKS["geometric"], 0.2), "thresholds": [0.5, CLOSED, -CLOSED]}
    rule = deciding.read_rule(stated, num_exits=3, knob=0.2)
    assert rule.open_exits(0.2) == (True, False, True)


def test_tables_survive_to_the_bit():
    values = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    values[0, 0, 0] = np.float32(0.1)
    np.testing.assert_array_equal(deciding.unpack_table(deciding.pack_table(values)), values)


def test_a_rule_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="rule must be one of 'common', 'geometric', 'gain', got 'dice'"):
        deciding.read_rule({"rule": "dice"}, num_exits=3, knob=0.0)


def test_an_unreachable_threshold_has_the_same_number_as_in_training():
    assert deciding.CLOSED == CLOSED


def test_torch_is_not_imported():
    code = "import modicum.classify.ranet.deciding, sys; assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
