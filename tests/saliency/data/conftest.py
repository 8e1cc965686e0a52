import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_pair():
    """Writes a grey-and-bright image and its mask, of 24x16 pixels unless told otherwise."""

    def write(image, mask, size=(24, 16), mask_size=None, mode="L"):
        pixels = np.random.default_rng(len(str(image))).integers(0, 256, (size[1], size[0], 3), np.uint8)
        truth = np.zeros((mask_size or size)[::-1], np.uint8)
        truth[4:12, 6:18] = 255
        for file, picture in ((image, Image.fromarray(pixels)), (mask, Image.fromarray(truth).convert(mode))):
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)

    return write
