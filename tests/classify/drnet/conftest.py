import pytest
import torch
from PIL import Image

from modicum.classify.data.scenes import DigitScenes
from modicum.classify.drnet.exiting import ExitingDRNet, StepPlan
from modicum.classify.drnet.network import DRNet

FOLDERS = {"train": "train", "calibration": "val", "test": "test"}


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory):
    """About 400 pictures of 32 px with large digits from 0 to 4, in folders: learnt in a few seconds."""
    root = tmp_path_factory.mktemp("digits")
    scenes = DigitScenes(side=32, sizes=(1500, 350, 350))
    easy = [i for i, record in enumerate(scenes.records) if scenes.digit_size_px[i] > 16 and record.label < 5]
    for index in easy:
        record = scenes.records[index]
        file = root / FOLDERS[record.split] / str(record.label) / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes.pixels(index)).save(file)
    return root


@pytest.fixture(scope="session")
def build():
    """Function to a small network whose normalisations differ between resolutions; options as of `DRNet`."""

    def make(backbone="digit_resnet", **options):
        torch.manual_seed(0)
        defaults = {"num_classes": 10, "resolutions": (32, 24, 16), "predictor": "small"}
        network = DRNet(backbone, **(defaults | options))
        with torch.no_grad():
            for scale in (1, 2, 3):
                images = scale * torch.randn(16, 3, network.resolutions[0], network.resolutions[0])
                network.every_resolution(images)
                network.scores(images)
            head = network.eval().predictor.linear  # as initialised, it gives every image the same route
            head.weight.mul_(20)
            head.bias.sub_(network.scores(images).mean(0))
        return network

    return make


@pytest.fixture(scope="session")
def build_exiting():
    """Function to a small network that decides by confidence, with three rows of thresholds; options as of the class.

    Its normalisations differ between resolutions, and images leave at every step at knob 0.5.
    """

    def make(steps=(2, 1, 0), average=False):
        torch.manual_seed(0)
        network = ExitingDRNet("digit_resnet", num_classes=10, resolutions=(32, 24, 16), budget=0.6)
        with torch.no_grad():
            for scale in (1, 2, 3):
                network.every_resolution(scale * torch.randn(16, 3, 32, 32))
            network.eval().backbone.linear.weight.mul_(5)
        last, temperatures = len(steps) - 1, 1 + torch.arange(len(steps)) / 2
        blank = torch.full((1, last), 2.0)
        network.take_plan(StepPlan(steps, average, temperatures, blank))
        sure = network.scores(torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(2)))
        middle = sure[:, :last].quantile(0.6, dim=0, keepdim=True)
        network.take_plan(StepPlan(steps, average, temperatures, torch.cat([blank, middle, torch.zeros(1, last)])))
        return network.requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def images():
    """Images (24, 3, 32, 32) of varied contrast, so that routes vary, too."""
    generator = torch.Generator().manual_seed(1)
    contrast = torch.rand(24, 1, 1, 1, generator=generator) * 3
    return contrast * torch.randn(24, 3, 32, 32, generator=generator)


@pytest.fixture(scope="session")
def routes():
    return torch.arange(24) % 3


@pytest.fixture(scope="session")
def always():
    """Function that makes a network's predictor choose one route for every image."""

    def make(network, route):
        with torch.no_grad():
            network.predictor.linear.weight.zero_()
            network.predictor.linear.bias.copy_(10.0 * torch.eye(len(network.resolutions))[route])
        return network

    return make
