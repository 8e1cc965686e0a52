from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.curve import Point
from modicum.adaptive.evidence import executed_outcome
from modicum.adaptive.guarantee import Guarantee
from modicum.classify.calibration_json import calibration_from_json, calibration_to_json
from modicum.classify.evidence import judge_hits, point_from_json, point_to_json, tabulate_answers

POINT = Point("routed", 2.5, 0.75, 0.7, 0.8, 0.1, {"24 px": 1.0}, {"top5": 0.9})


class FixedLogits:
    """Gives logits (N, R, K) that are known beforehand; the images are the numbers of the samples."""

    def __init__(self, logits):
        self.logits = torch.as_tensor(logits)
        self.costs = MenuCosts(tuple("abc"[: self.logits.shape[1]]), (1.0, 2.0, 3.0)[: self.logits.shape[1]])

    def run(self, images, routes):
        return self.logits[images.long(), routes]

    def batches(self, labels, size=3):
        numbers = torch.arange(len(self.logits))
        return list(zip(numbers.split(size), torch.tensor(labels).split(size), strict=True))


class TestTabulateAnswers:
    def test_probabilities_equal_those_of_each_route(self):
        model = FixedLogits(torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(1)))
        table = tabulate_answers(model, model.batches([0] * 20))
        assert torch.equal(table.predicted, model.logits.argmax(dim=2))
        assert torch.equal(table.confidence, model.logits.softmax(dim=2).amax(dim=2))

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 1000), num_classes=st.integers(2, 9))
    def test_hits_equal_those_by_sorting(self, seed, num_classes):
        generator = np.random.default_rng(seed)
        logits = generator.permuted(np.arange(5 * 2 * num_classes, dtype=np.float32)).reshape(5, 2, num_classes)
        labels = generator.integers(num_classes, size=5)
        model = FixedLogits(logits)
        table = tabulate_answers(model, model.batches(labels))
        ranked = (-logits).argsort(axis=2)
        assert table.predicted.tolist() == ranked[:, :, 0].tolist()
        assert table.top1.tolist() == (ranked[:, :, 0] == labels[:, None]).tolist()
        assert table.top5.tolist() == (ranked[:, :, :5] == labels[:, None, None]).any(axis=2).tolist()

    def test_equal_probabilities_do_not_hide_the_class(self):
        logits = torch.tensor([[[0.0, 1e-9, -1.0]]])  # the softmax of the first two is the same number
        model = FixedLogits(logits)
        table = tabulate_answers(model, model.batches([1]))
        assert table.predicted.tolist() == [[1]]

    def test_half_precision_logits_are_told_apart_as_in_execution(self):
        logits = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
        model = FixedLogits(logits)
        batches = model.batches([0] * 20)
        routes = torch.arange(20) % 3
        table = tabulate_answers(model, batches)
        assert table.confidence.dtype == torch.float32
        executed = executed_outcome(model, batches, judge_hits)(routes)
        assert torch.equal(table.hits.outcome(routes).values, executed.values)

    def test_a_curve_notes_the_five_most_probable(self):
        model = FixedLogits(torch.arange(7.0).expand(4, 2, 7))
        table = tabulate_answers(model, model.batches([6, 3, 1, 0]))
        routes = torch.zeros(4, dtype=torch.int64)
        assert table.hits.outcome(routes).total() == 0.25
        assert {name: outcome(routes).total() for name, outcome in table.also.items()} == {"top5": 0.5}


class TestStoredForm:
    def test_points_keep_the_keys_of_files(self):
        assert list(point_to_json(POINT)) == ["label", "cost", "accuracy", "low", "high", "knob", "shares", "top5"]
        assert (point_to_json(POINT)["accuracy"], point_to_json(POINT)["top5"]) == (0.75, 0.9)

    def test_points_are_read_as_they_were_written(self):
        bare = replace(POINT, knob=None, shares=None, also=None)
        assert [point_from_json(**point_to_json(point)) for point in (POINT, bare)] == [POINT, bare]

    def test_calibrations_are_read_as_they_were_written(self):
        guarantee = Guarantee(0.01, 0.95, "worse", "plain", 1, 600, 0.008, "In one sentence.", "traffic", 3)
        calibration = Calibration(1.0, "MAC", 0.5, 0.9, 2.0, 0.75, 4, "0", {"32 px": 3, "16 px": 1}, guarantee)
        content = calibration_to_json(calibration)
        assert content["accuracy"] == 0.75
        assert calibration_from_json(content) == calibration
