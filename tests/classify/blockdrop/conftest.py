import pytest
import torch
from torchmetrics import MeanMetric

from modicum.classify.data.loading import Batch


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(24, 3, 16, 16, generator=generator), torch.arange(24) % 10, torch.arange(24))


@pytest.fixture
def logged(monkeypatch):
    """What modules log, without a Trainer: figures by name."""
    figures = {}

    def log(module, name, value, **options):
        figures[name] = (value.compute() if isinstance(value, MeanMetric) else value).item()

    monkeypatch.setattr("lightning.pytorch.LightningModule.log", log)
    return figures
