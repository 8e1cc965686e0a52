"""Drawn textures on which other things are laid."""

# H W size of a ground in px
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CELL_PX = (256, 64, 16, 4)  # of the octaves of smooth noise
_AMPLITUDES = (34.0, 20.0, 14.0, 10.0)  # of 255


def draw_ground(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Draws a texture (H, W, 3) of smooth noise at four scales, around a random colour, about 0 to 255."""
    grey = np.zeros((height, width), np.float32)
    for cell, amplitude in zip(_CELL_PX, _AMPLITUDES, strict=True):
        rows, columns = (max(2, round(side / cell)) for side in (height, width))
        noise = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
        grey += amplitude * np.asarray(noise.resize((width, height), Image.Resampling.BILINEAR))
    tint = rng.uniform(0.75, 1.25, 3).astype(np.float32)
    ground: NDArray[np.float32] = rng.uniform(100, 150, 3).astype(np.float32) + grey[..., None] * tint
    return ground
