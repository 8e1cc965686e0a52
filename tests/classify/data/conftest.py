import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def encoded():
    """Function from a picture (and format, options) to the bytes of its file."""
    return encode


@pytest.fixture(scope="session")
def noise():
    """Function from a seed to a picture of 12 x 10 px that no other seed gives."""

    def make(seed: int) -> Image.Image:
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))

    return make


@pytest.fixture
def write_tree(tmp_path, noise):
    """Function that writes a different picture to each of the given paths and returns their folder."""

    def write(*paths: str, root: Path = tmp_path) -> Path:
        for number, path in enumerate(paths):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(noise(number)))
        return root

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    if "MODICUM_DATA" not in os.environ:
        pytest.skip("MODICUM_DATA is not set: it points to the folder of real data sets")
    return Path(os.environ["MODICUM_DATA"])
