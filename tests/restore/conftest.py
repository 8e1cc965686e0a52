from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def picture():
    """Function from a seed (and shape) to a smooth uint8 image with edges, different for each seed."""

    def make(seed: int, shape: tuple[int, ...] = (40, 48, 3)) -> np.ndarray:
        generator = np.random.default_rng(seed)
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        planes = []
        for _ in range(shape[2] if len(shape) == 3 else 1):
            slope, turn = generator.uniform(-2, 2, 2), generator.uniform(0.1, 0.5)
            wave = 128 + slope[0] * rows + slope[1] * columns + 40 * np.sin(turn * (rows + columns))
            planes.append(wave + 60 * (columns > generator.integers(shape[1])))
        stacked = np.stack(planes, axis=2) if len(shape) == 3 else planes[0]
        return np.clip(stacked, 0, 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def photos_folder(tmp_path_factory, picture) -> Path:
    """Eight small photographs as a user would hold them, divided into train, val and test."""
    root = tmp_path_factory.mktemp("photos")
    for number, part in enumerate(("train",) * 4 + ("val",) * 2 + ("test",) * 2):
        (root / part).mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(root / part / f"{number}.png")
    return root
