import pytest
import torch

from modicum.adaptive.exits import FrozenTable, GeometricRule
from modicum.classify.ranet.export import export_ranet
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure
from modicum.exporting.writing import Stated

# Transitions, halving and equal scales: every kind of tensor that passes between segments.
STRUCTURE = Structure(
    (1, 2, 2), (2, 1, 1), (2, 1, 1), base_channels=4, growth=4, first_blocks=1, block_step=1, layers=2
)
PREPROCESSING = {"size": 16, "resize_short": 20, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "flip": True}
CALIBRATION = {"target": 2.0e6, "unit": "MAC", "knob": 0.25, "achieved": 1.9e6}


@pytest.fixture(scope="session")
def export():
    """`export_ranet` with arguments that fit `fitted`, except for those that are given."""

    def call(network, folder, **changes):
        options = {
            "preprocessing": PREPROCESSING,
            "classes": [f"class {number}" for number in range(5)],
            "knob": 0.25,
            "calibration": CALIBRATION,
        }
        return export_ranet(network, folder, Stated(**(options | changes)))

    return call


def fitted(**options):
    """A network in training mode with fitted exits and running statistics of noise; options as of `RANet`."""
    torch.manual_seed(0)
    network = RANet(STRUCTURE, num_classes=5, image_px=16, **options).train()
    with torch.no_grad():
        for _ in range(5):
            network.every_exit(torch.randn(16, 3, 16, 16))
        logits = network.eval().every_exit(torch.randn(60, 3, 16, 16))
    network.fit_exits(logits, logits[:, -1].argmax(dim=1))
    network.temperatures = FrozenTable(logits.std(dim=(0, 2)) / 2)  # so that confidences differ widely
    network.policy = GeometricRule(network.confidence(network.answers(logits)))
    return network.train()


@pytest.fixture(scope="session")
def export_once(made_once, export):
    """Function from a name and options to a network after its export, and the folder that one worker wrote."""

    def make(name, **options):
        def fill(folder):
            network = fitted(**options)
            export(network, folder / "export")
            torch.save(network, folder / "network.pt")

        folder = made_once(f"export-{name}", fill)
        return torch.load(folder / "network.pt", weights_only=False), folder / "export"

    return make


@pytest.fixture(scope="session")
def averaged(export_once):
    """A network whose answers are means over exits, in evaluation mode, and the folder of its export."""
    network, folder = export_once("averaged-ranet", average_exits=True)
    return network.eval(), folder


@pytest.fixture(scope="session")
def exported(export_once):
    """A network, its weights before it was exported, and the folder; not to be changed."""
    network, folder = export_once("ranet")
    return network, fitted().state_dict(), folder
