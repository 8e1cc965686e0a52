import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modicum.classify.data.loading import Batch
from modicum.classify.distillation import TEMPERATURE, AnswerLoss


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(6, 3, 4, 4, generator=generator), torch.arange(6) % 5
    return Batch(images, labels, torch.arange(6))


def teacher():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.BatchNorm1d(5))


def test_without_a_teacher_it_is_the_cross_entropy(batch):
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    assert torch.equal(AnswerLoss()(logits, batch), F.cross_entropy(logits, batch.labels))


def test_distance_is_the_one_written_out_by_hand(batch):
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    taught = (teacher().eval()(batch.images) / TEMPERATURE).softmax(1)
    log_student = (logits / TEMPERATURE).softmax(1).log()
    by_hand = (taught * (taught.log() - log_student)).sum(1).mean() * TEMPERATURE**2
    found = AnswerLoss(teacher(), 0.5)(logits, batch)
    assert torch.allclose(found, F.cross_entropy(logits, batch.labels) + 0.5 * by_hand, atol=1e-6)


def test_student_with_the_teachers_answers_pays_cross_entropy_alone(batch):
    loss = AnswerLoss(teacher(), 1.0)
    logits = teacher().eval()(batch.images).detach()
    assert torch.allclose(loss(logits, batch), F.cross_entropy(logits, batch.labels), atol=1e-6)


def test_teacher_stays_as_it_is_in_training_mode(batch):
    loss = AnswerLoss(teacher(), 1.0).train()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(torch.zeros(6, 5, requires_grad=True), batch).backward()
    assert all(torch.equal(before[name], value) for name, value in loss.state_dict().items())
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_weight_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match=r"a distillation of weight 0\.5 needs a teacher"):
        AnswerLoss(None, 0.5)
