from types import SimpleNamespace

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from modicum.adaptive.evidence import Scored
from modicum.classify.confidence import confidence_of
from modicum.classify.evidence import AnswerTable, Judged
from modicum.classify.ranet.details import calibration_errors, describe
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure

TINY = Structure(scales=(1,), growth_factors=(1,), bottleneck_factors=(1,), base_channels=4, growth=4, layers=1)


def judged_of(logits, labels, temperatures):
    predicted = logits.argmax(2)
    hits = predicted == labels[:, None]
    table = AnswerTable(
        predicted, confidence_of(logits, torch.ones(logits.shape[1])), hits, hits, logits.log_softmax(dim=2)
    )
    ids = tuple(map(str, range(len(labels))))
    return Judged(Scored(ids, confidence_of(logits, temperatures)), labels, table, table.hits.outcome)


@pytest.fixture
def sample():
    """Logits (200, 2, 5) that are too sure of themselves, and labels (200,) that they often miss."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (200,), generator=generator)
    logits = 4 * torch.randn(200, 2, 5, generator=generator)
    logits[:, 1] += 5 * torch.eye(5)[labels]
    return logits, labels


def network(*, temperature):
    return RANet(TINY, num_classes=5, image_px=16, temperature=temperature).eval()


def test_calibration_errors_are_those_of_the_full_probabilities(sample):
    logits, labels = sample
    table = judged_of(logits, labels, torch.ones(2)).answers
    expected = [
        float(multiclass_calibration_error(logits[:, index].softmax(1), labels, num_classes=5, n_bins=15))
        for index in range(2)
    ]
    assert calibration_errors(table.confidence, table.top1) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_is_the_mean_distance_of_a_bin():
    confidence = torch.tensor([[0.9], [0.9], [0.9], [0.9], [0.5], [0.5]])
    top1 = torch.tensor([[True], [True], [True], [False], [True], [True]])
    assert calibration_errors(confidence, top1) == pytest.approx([4 / 6 * 0.15 + 2 / 6 * 0.5])


def test_each_exit_has_its_row(sample):
    model, routes = network(temperature=False), torch.tensor([0] * 150 + [1] * 50)
    judged = judged_of(*sample, torch.ones(2))
    (detail,) = describe(model, SimpleNamespace(), judged, routes)
    table = judged.answers
    shares = ("accuracy, if all leave there", "ECE", "leave there", "accuracy of those")
    assert detail.columns == ("exit", "M MAC", *shares)
    assert [row[0] for row in detail.rows] == ["exit 1", "exit 2"]
    assert [float(row[1]) for row in detail.rows] == pytest.approx([c / 1e6 for c in model.costs.per_route], rel=1e-3)
    assert [row[2] for row in detail.rows] == [f"{100 * share:.1f} %" for share in table.top1.double().mean(0).tolist()]
    assert [row[4] for row in detail.rows] == ["75.0 %", "25.0 %"]
    assert detail.rows[1][5] == f"{100 * table.top1[150:, 1].double().mean():.1f} %"


def test_temperatures_show_what_they_bring(sample):
    model, (logits, labels) = network(temperature=True), sample
    model.fit_exits(logits, labels)
    judged = judged_of(logits, labels, model.temperatures.values())
    (detail,) = describe(model, SimpleNamespace(), judged, torch.zeros(200, dtype=torch.int64))
    before, after = (detail.columns.index(name) for name in ("ECE", "ECE after temperature"))
    assert all(float(row[after]) < float(row[before]) for row in detail.rows)
    assert f"{model.temperatures.values()[0]:.2f}" in detail.note


def test_exit_where_nobody_leaves_has_no_accuracy(sample):
    judged = judged_of(*sample, torch.ones(2))
    routes = torch.zeros(200, dtype=torch.int64)
    (detail,) = describe(network(temperature=False), SimpleNamespace(), judged, routes)
    assert detail.rows[1][4:] == ("0.0 %", "–")
