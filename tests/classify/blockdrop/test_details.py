from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from modicum.adaptive.evidence import Scored
from modicum.adaptive.worth import MeanWorth
from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.details import describe, describe_policies
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.evidence import Judged

BLOCKS = 3


class Data:
    """What details ask of a data set: twelve images of three classes."""

    def __init__(self, classes):
        self.source = SimpleNamespace(classes=classes)
        self.splits = SimpleNamespace(indices=lambda source, part: list(range(12)))
        self.images = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def evaluate_indices(self, indices, device):
        yield self.images[indices], torch.zeros(len(indices))

    def picture(self, index):
        return Image.new("RGB", (16, 16))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    backbone = SmallResNet(3, widths=(4, 6, 8), stem_stride=2, shortcut="pool")
    return BlockDrop(backbone, num_classes=3, image_px=16, policy="small").eval()


@pytest.fixture
def routes():
    """Class 0 keeps one block, class 1 two or three, class 2 all; the second image of class 0 keeps another one."""
    first, other = [True, False, False], [False, True, False]
    return torch.tensor([first, other, first, first] + [[True, True, False]] * 3 + [[True] * 3] * 5)


@pytest.fixture
def labels():
    return torch.arange(12) // 4


def judged_with(labels, is_right):
    scored = Scored(tuple(f"image {row}" for row in range(12)), torch.zeros(12, BLOCKS))
    return Judged(scored, labels, None, lambda routes: MeanWorth(is_right))


def test_policies_are_counted_and_listed_by_frequency(routes):
    is_right = torch.tensor([1.0] * 10 + [0.0] * 2, dtype=torch.float64)
    detail = describe_policies(routes, is_right, torch.linspace(0.4, 0.8, 12, dtype=torch.float64))
    assert detail.rows == (
        ("111", "3", "41.7%", "60.0%"),
        ("100", "1", "25.0%", "100.0%"),
        ("110", "2", "25.0%", "100.0%"),
        ("010", "1", "8.3%", "100.0%"),
    )
    assert detail.note.startswith("4 distinct policies serve 12 test images. They keep 2.1 ± 0.9 of 3 blocks")


def test_only_the_ten_most_frequent_policies_are_listed():
    routes = torch.tensor([[bool(number >> bit & 1) for bit in range(4)] for number in range(16)])
    detail = describe_policies(routes, torch.ones(16).double(), torch.ones(16).double())
    assert len(detail.rows) == 10
    assert detail.note.startswith("16 distinct policies")


def test_classes_are_ordered_by_the_blocks_that_they_keep(model, routes, labels):
    _, detail = describe(model, Data(["one", "two", "three"]), judged_with(labels, torch.ones(12).bool()), routes)
    assert detail.rows == (
        ("one", "4", "1.0 ± 0.0", "100.0%"),
        ("two", "4", "2.2 ± 0.4", "100.0%"),
        ("three", "4", "3.0 ± 0.0", "100.0%"),
    )


def test_examples_are_the_fewest_and_the_most_of_each_class(model, routes, labels):
    _, detail = describe(model, Data(["one", "two", "three"]), judged_with(labels, torch.ones(12).bool()), routes)
    assert [(example.label, example.route) for example in detail.examples] == [
        ("one", "1 of 3 blocks"),
        ("one", "1 of 3 blocks"),
        ("two", "2 of 3 blocks"),
        ("two", "3 of 3 blocks"),
        ("three", "3 of 3 blocks"),
        ("three", "3 of 3 blocks"),
    ]


def test_classes_without_test_images_are_left_out(model, routes, labels):
    data = Data(["one", "two", "three", "none"])
    _, detail = describe(model, data, judged_with(labels, torch.ones(12).bool()), routes)
    assert [row[0] for row in detail.rows] == ["one", "two", "three"]
