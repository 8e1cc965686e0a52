import pytest
import torch
from written_sets import write_scenes

from modicum.saliency.network import SaliencyNet


def shaken(network):
    """Gives normalisations of both signs and statistics of their own, and opens the gates of attention."""
    generator = torch.Generator().manual_seed(3)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith("gamma"):
            torch.nn.init.constant_(value, 0.7)
        elif "norm" in name and value.ndim == 1:
            noise = torch.rand(value.shape, generator=generator)
            value.data = 0.5 + noise if "running_var" in name else 2 * noise - 0.7
    return network


@pytest.fixture
def small():
    """The network of the small CPU run, with all that training would have given it."""
    torch.manual_seed(0)
    return shaken(SaliencyNet("small", width=24, steps=2)).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 45, 38, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory):
    """Scenes as a user would hold them: image and mask files in train, val and test."""
    return write_scenes(tmp_path_factory.mktemp("scenes"), side=40, sizes=(48, 1, 12))
