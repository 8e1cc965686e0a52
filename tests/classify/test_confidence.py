import pytest
import torch
import torch.nn.functional as F

from modicum.classify.confidence import confidence_of, fit_temperatures


def draw(count=4000, exits=2, classes=4):
    """Logits whose soft-max is the true distribution of the labels."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 1, classes, generator=generator).expand(-1, exits, -1)
    labels = torch.multinomial(logits[:, 0].softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


def test_temperature_undoes_a_scaling_of_the_logits():
    logits, labels = draw()
    temperatures = fit_temperatures(logits * torch.tensor([1.0, 3.0])[:, None], labels)
    assert temperatures.tolist() == pytest.approx([1.0, 3.0], rel=0.06)
    assert float(temperatures[1] / temperatures[0]) == pytest.approx(3.0, rel=1e-4)


def test_no_temperature_nearby_makes_the_labels_likelier():
    logits, labels = draw(200, 1)
    (best,) = fit_temperatures(logits, labels)
    losses = [float(F.cross_entropy(logits[:, 0].double() / (best * factor), labels)) for factor in (0.98, 1.0, 1.02)]
    assert losses[1] == min(losses)


def test_temperature_of_an_exit_that_is_always_right_makes_it_sure():
    logits = torch.eye(3)[:, None]
    temperatures = fit_temperatures(logits, torch.arange(3))
    assert 0.01 <= temperatures.item() < 0.1
    assert confidence_of(logits, temperatures).tolist() == [[1.0]] * 3


def test_confidence_is_the_largest_probability_in_single_precision():
    logits = torch.tensor([[[0.0, 1.0], [3.0, 0.0]]], dtype=torch.bfloat16)
    found = confidence_of(logits, torch.tensor([1.0, 2.0]))
    assert found.dtype == torch.float32
    assert found[0].tolist() == pytest.approx([torch.tensor(1.0).sigmoid().item(), torch.tensor(1.5).sigmoid().item()])
