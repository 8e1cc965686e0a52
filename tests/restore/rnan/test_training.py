import pytest
import torch
from torch import nn

from modicum.restore.patches import PatchBatch
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.training import RestorationStage
from modicum.training.recipe import OptimizerOptions, Schedule


class Shift(nn.Module):
    """Adds a number, which it learns, to every pixel."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(start))

    def forward(self, images):
        return images + self.by


def stage(network, loss="mse"):
    module = RestorationStage(network, loss=loss, optimizer=OptimizerOptions("adam", 0.01), schedule=Schedule("cosine"))
    module.log = lambda *arguments, **keywords: None  # there is no Trainer
    return module


def batch_of(values, target=0.0):
    inputs = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return PatchBatch(inputs, torch.full_like(inputs, target))


@pytest.mark.parametrize(("loss", "expected"), [("mse", (0.2**2 + 0.4**2) / 2), ("l1", 0.3)])
def test_loss_is_the_mean_error_in_units_of_the_range(loss, expected):
    value = stage(Shift(0.0), loss=loss).training_step(batch_of([51.0, -102.0]), 0)
    assert value.item() == pytest.approx(expected)


def test_validation_gives_the_mean_psnr_of_clipped_patches():
    module = stage(Shift(0.0))

    module.validation_step(batch_of([25.5, 300.0]), 0)

    # 20 dB at a tenth of the range; 300 is clipped to 255, which is 0 dB from black.
    assert module.psnr.compute().item() == pytest.approx((20 + 0) / 2)


def test_white_patch_that_clipping_makes_exact_does_not_drown_the_others():
    module = stage(Shift(10.0))

    module.validation_step(PatchBatch(torch.full((1, 1, 2, 2), 250.0), torch.full((1, 1, 2, 2), 255.0)), 0)
    module.validation_step(PatchBatch(torch.full((1, 1, 2, 2), 15.5), torch.zeros(1, 1, 2, 2)), 1)

    assert module.psnr.compute().item() == pytest.approx((100 + 20) / 2)


def test_one_batch_is_learnt_by_heart(picture):
    torch.manual_seed(0)
    target = torch.from_numpy(picture(0, (16, 16))).float()[None, None]
    batch = PatchBatch(target + 50 * torch.randn(2, 1, 16, 16), target.expand(2, 1, 16, 16))
    module = stage(RNAN(1, features=8, local_groups=0, value_range=1.0))
    optimizer = torch.optim.Adam(module.network.parameters(), 0.003)
    losses = []

    for _ in range(60):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[0] > 0.03  # noise of sigma 50: (50 / 255) ** 2
    assert losses[-1] < losses[0] / 5
