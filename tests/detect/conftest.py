import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits


@pytest.fixture
def write_picture(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a picture of some size below the test's folder; each name has pixels of its own."""

    def write(name: str, size: tuple[int, int] = (40, 30), *, orientation: int = 1, pixels=None) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(
                0, 256, (size[1], size[0], 3), dtype=np.uint8
            )
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"exif": exif} if orientation != 1 else {}
        Image.fromarray(pixels).save(file, **options)
        return file

    return write


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[[str, str], Path]:
    """Function that writes a text file below the test's folder."""

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def write_coco(write_text, write_picture) -> Callable[..., Path]:
    """Function that writes COCO JSON, and a picture for each image that has no file yet."""

    def write(name: str, images: dict[str, list[dict]], *, size=(40, 30), classes=("car", "bus"), folder="") -> Path:
        numbers = {image: number for number, image in enumerate(images, start=1)}
        for image in images:
            write_picture(f"{folder}{image}", size)
        rows = [{"image_id": numbers[image], **row} for image, listed in images.items() for row in listed]
        content = {
            "images": [
                {"id": number, "file_name": image, "width": size[0], "height": size[1]}
                for image, number in numbers.items()
            ],
            "categories": [{"id": number * 10, "name": each} for number, each in enumerate(classes, start=1)],
            "annotations": [{"id": n, "category_id": 10, "iscrowd": 0, **row} for n, row in enumerate(rows)],
        }
        return write_text(name, json.dumps(content))

    return write


@pytest.fixture(scope="session")
def stir() -> Callable[[nn.Module], nn.Module]:
    """Function that draws statistics and class heads at random, so that scores differ as those of trained ones do."""

    def draw(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(1)
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            if name.endswith("cls_logits"):
                nn.init.normal_(module.weight, std=0.3, generator=generator)
                nn.init.constant_(module.bias, -3)
        return model.eval()

    return draw


@pytest.fixture(scope="session")
def stirred_detector(stir) -> Callable[..., TorchvisionDetector]:
    """Function from a seed to a light detector of two classes with random weights; it takes `DetectionLimits`, too."""

    def make(seed: int = 0, **limits: object) -> TorchvisionDetector:
        torch.manual_seed(seed)
        network = stir(LightFCOS(("car", "bus")))
        return TorchvisionDetector(network.fcos, network.classes, limits=DetectionLimits(**limits))

    return make
