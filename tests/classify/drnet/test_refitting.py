import pytest
import torch

from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.drnet.refitting import ask_every_resolution, fit_steps

NUM_CLASSES = 4


class Known(torch.nn.Module):
    """A backbone that reads its answer off the image: its size decides how often that is right."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, NUM_CLASSES, 1, bias=False)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        return self.pool(self.conv(images)).flatten(1)


@pytest.fixture
def network():
    with pytest.warns(UserWarning, match="no batch normalisation"):
        return ExitingDRNet(Known(), num_classes=NUM_CLASSES, resolutions=(16, 8, 4), budget=0.5).eval()


@pytest.fixture
def answered(network, monkeypatch):
    """Lets the resolutions answer: 16 px is always right, 8 px never better than 4 px, which is right where sure."""
    labels = torch.arange(200) % NUM_CLASSES
    right = 8.0 * torch.nn.functional.one_hot(labels, NUM_CLASSES)
    wrong = torch.nn.functional.one_hot((labels + 1) % NUM_CLASSES, NUM_CLASSES) * 0.4
    easy = (torch.arange(200) % 3 > 0)[:, None]
    small = torch.where(easy, right, wrong) + 0.1 * torch.rand(200, NUM_CLASSES)
    logits = torch.stack([right, small, small], dim=1)  # of 16, 8 and 4 px
    monkeypatch.setattr(network, "every_resolution", lambda images: logits[images[:, 0, 0, 0].long()])
    images = torch.arange(200.0)[:, None, None, None].expand(200, 3, 16, 16)
    return [(images[:120], labels[:120]), (images[120:], labels[120:])]


def test_resolutions_are_asked_from_the_cheapest_on(network, answered):
    known = ask_every_resolution(network, answered)
    assert known.logs.shape == (200, 3, NUM_CLASSES)
    assert known.hits.double().mean(dim=0).tolist() == pytest.approx([2 / 3, 2 / 3, 1.0], abs=0.01)


def test_resolution_that_never_pays_is_no_step(network, answered):
    fit_steps(network, answered)
    assert network.steps == (2, 0)  # 4 px, then 16 px
    assert network.costs.route_names == ("4 px", "16 px")


def test_thresholds_let_those_leave_that_are_right(network, answered):
    fit_steps(network, answered)
    known = ask_every_resolution(network, answered)
    logs = (known.logs[:, [0, 2]] / network.temperatures.values()[:, None]).log_softmax(dim=2)
    best = logs.exp().topk(2, dim=2).values
    sure = best[..., 0] - best[..., 1]
    shares = [(network.policy.decide(sure, knob) == 0).double().mean() for knob in (0.0, 1.0)]
    assert shares == [0.0, 1.0]
    middle = next(
        knob for knob in torch.linspace(0, 1, 200).tolist() if (network.policy.decide(sure, knob) == 0).sum() >= 120
    )
    assert known.hits[network.policy.decide(sure, middle) == 0, 0].double().mean() > 0.97


def test_thresholds_fall_from_row_to_row(network, answered):
    fit_steps(network, answered)
    table = network.policy.table.values()
    assert len(table) > 2
    assert (table[1:] <= table[:-1]).all()


def test_no_image_at_all_is_refused(network):
    with pytest.raises(ValueError, match="N at least 1"):
        fit_steps(network, [])
