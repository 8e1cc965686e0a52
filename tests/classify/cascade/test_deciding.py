import json

import numpy as np
import pytest
import torch

from modicum.adaptive.cascades import NestedThresholds
from modicum.classify.cascade.deciding import CONFIDENCES, Decision, NestedRule, describe, measure_sureness
from modicum.classify.confidence import agreement, average_answers, sureness

TABLE = torch.tensor([[2.0, 2.0], [0.5, 0.25], [0.5, 0.125], [0.0, 0.0]])


def probabilities(num_images=50, num_steps=3, num_classes=4):
    logits = torch.randn(num_images, num_steps, num_classes, generator=torch.Generator().manual_seed(0))
    return (2 * logits).softmax(dim=2)


@pytest.mark.parametrize("name", CONFIDENCES)
@pytest.mark.parametrize("average", [False, True])
def test_answers_and_sureness_are_those_of_pytorch(name, average):
    own = probabilities()
    answers = average_answers(own) if average else own
    expected = sureness(answers, name, agreement(own))
    decision, running = Decision(NestedRule(TABLE.numpy()), average=average, confidence=name), None
    for index in range(3):
        running = decision.answer(index, own[:, index].log().numpy(), running)
        np.testing.assert_allclose(running.logs, answers[:, index].log().numpy(), atol=1e-5)
        np.testing.assert_allclose(running.sure, expected[:, index].numpy(), atol=1e-6)


@pytest.mark.parametrize("name", CONFIDENCES)
def test_sureness_of_ties_and_of_certainty_is_exactly_that_of_pytorch(name):
    answers = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [1, 0, 0, 0]], np.float32)
    agree = np.array([True, True, False])
    expected = sureness(torch.from_numpy(answers), name, torch.from_numpy(agree))
    np.testing.assert_array_equal(measure_sureness(answers, name, agree), expected.numpy())


@pytest.mark.parametrize("knob", [-1.0, 0.0, 0.3, 1 / 3, 0.5, 2 / 3, 0.99, 1.0, 40.0])
def test_images_leave_as_in_pytorch_those_at_the_threshold_included(knob):
    rule, reference = NestedRule(TABLE.numpy()), NestedThresholds(TABLE)
    sure = torch.tensor([0.0, 0.125, 0.25, 0.5, np.nextafter(np.float32(0.5), np.float32(0)), 1.0, float("nan")])
    for index in range(3):
        expected = reference.leaves(index, sure, knob).numpy()
        np.testing.assert_array_equal(rule.leaves(index, sure.numpy(), knob), expected)


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_a_decision_survives_json(columns):
    table = torch.rand(5, columns, generator=torch.Generator().manual_seed(0)).numpy()
    read = Decision.read(json.loads(json.dumps(describe(table, average=True, confidence="entropy"))))
    np.testing.assert_array_equal(read.rule.table, table)
    assert (read.average, read.confidence) == (True, "entropy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "gain"}, "rule must be 'nested thresholds', got 'gain'"),
        ({"confidence": "luck"}, "confidence must be one of margin, probability, entropy, agreement, got 'luck'"),
    ],
)
def test_an_unknown_decision_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Decision.read(describe(TABLE.numpy(), average=True, confidence="margin") | change)


def test_probabilities_too_small_for_a_logarithm_stay_finite():
    decision = Decision(NestedRule(TABLE.numpy()), average=True, confidence="margin")
    assert np.isfinite(decision.answer(0, np.array([[0.0, -500.0]], np.float32), None).logs).all()
