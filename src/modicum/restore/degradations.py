"""From a clean image to what a network gets and what it is to give; all 8 bit, of shape (H, W) or (H, W, 3)."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.restore.colour import full_range_grey, studio_luma_8_bit
from modicum.restore.pixels import Bytes, as_colour, cut_to_multiple, quantise
from modicum.restore.resampling import downscale
from modicum.restore.task import Task


def make_target(image: Bytes, task: Task) -> Bytes:
    """Returns what a perfect network would give for a clean image: (H, W) for tasks on grey images, else (H, W, 3).

    A grey image keeps its values, in full range, even for tasks that take the studio luma of colour images. For
    demosaicing and super-resolution the last rows and columns that do not fill a cell are cut off.
    """
    if task.channels == 3:
        return cut_to_multiple(as_colour(image), task.multiple)
    if image.ndim == 2:
        return image
    return studio_luma_8_bit(image) if task.target_luma == "studio" else full_range_grey(image)


def degrade(target: Bytes, task: Task, generator: np.random.Generator) -> NDArray[Any]:
    """Degrades a target to the network's input: uint8, or float32 if the task is unclipped noise.

    Args:
        target: As `make_target` gives it, or a part that starts at multiples of ``task.multiple`` pixels. JPEG's blocks
            begin at the corner of what is given here, hence give whole images and cut patches from the result.
        task: What to do to it.
        generator: Draws the noise; other tasks do not use it.
    """
    if task.sigma is not None:
        noisy = add_noise(target, task.sigma, generator)
        return quantise(noisy) if task.noise == "clipped" else noisy
    if task.quality is not None:
        return compress_jpeg(target, task.quality)
    return mosaic(target) if task.name == "demosaic" else downscale(target, task.scale)


def degrade_fixed(target: Bytes, task: Task, seed: int, image_id: str) -> NDArray[Any]:
    """Degrades as `degrade` does, with the one draw of this seed and image: for tests, and fixed training inputs."""
    return degrade(target, task, np.random.default_rng((seed, *image_id.encode())))


def add_noise(image: Bytes, sigma: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Adds independent Gaussian noise to every value; neither clips nor rounds."""
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += image
    return noise


def compress_jpeg(grey: Bytes, quality: int) -> Bytes:
    """Passes a grey image (H, W) through a JPEG file, with libjpeg's tables for ``quality`` in 1..100."""
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


def mosaic(rgb: Bytes) -> Bytes:
    """Keeps what a Bayer sensor of the order GRBG sees of (H, W, 3): one channel per pixel, the others 0.

    The first row reads G R G R ..., the second B G B G ...

    Example:
        >>> mosaic(np.full((2, 2, 3), 9, dtype=np.uint8)).tolist()  # G R, B G
        [[[0, 9, 0], [9, 0, 0]], [[0, 0, 9], [0, 9, 0]]]
    """
    kept = np.zeros_like(rgb)
    kept[0::2, 0::2, 1] = rgb[0::2, 0::2, 1]
    kept[1::2, 1::2, 1] = rgb[1::2, 1::2, 1]
    kept[0::2, 1::2, 0] = rgb[0::2, 1::2, 0]
    kept[1::2, 0::2, 2] = rgb[1::2, 0::2, 2]
    return kept
