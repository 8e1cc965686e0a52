"""Draws detections and the windows in which they were looked for."""
# N detections, W windows, H W size of a picture in px

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from modicum.detect.boxes import Detections
from modicum.detect.overlaps import Boxes
from modicum.storage.names import printable

_WINDOW = (255, 255, 255)
_SHADE = 0.6  # of the brightness outside of windows
_GOLDEN = 0.618  # turns of the colour wheel from one class to the next, so that neighbours differ


def draw_detections(
    pixels: NDArray[np.uint8], found: Detections, classes: Sequence[str], *, windows: Boxes, caption: str
) -> Image.Image:
    """Draws boxes with class and score, and windows as bright frames; what no window covers is darker.

    Args:
        pixels: The picture, (H, W, 3).
        found: What is drawn, the best on top.
        classes: Names of the classes by label.
        windows: Shape (W, 4); without any, nothing is shaded.
        caption: What is written in the lower left corner.

    Returns:
        The drawing, RGB, as large as the picture.
    """
    height, width = pixels.shape[:2]
    picture = Image.fromarray(_shaded(pixels, windows))
    line = max(1, round(min(height, width) / 400))
    size = max(10, round(min(height, width) / 60))
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(picture)
    for window in windows.tolist():
        pen.rectangle([window[0], window[1], window[2] - 1, window[3] - 1], outline=_WINDOW, width=line)
    for box, score, label in reversed(
        list(zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True))
    ):
        colour = colour_of(label)
        pen.rectangle(box, outline=colour, width=2 * line)
        _write(pen, (box[0], max(0.0, box[1] - size * 1.3)), f"{classes[label]} {score:.2f}", font, colour)
    _write(pen, (0, height - size * 1.3), caption, font, _WINDOW)
    return picture


def colour_of(label: int) -> tuple[int, int, int]:
    """Returns the colour of a class, RGB: bright, and unlike that of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.9, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _shaded(pixels: NDArray[np.uint8], windows: Boxes) -> NDArray[np.uint8]:
    if not len(windows):
        return pixels
    shaded = (pixels * _SHADE).astype(np.uint8)
    for left, top, right, bottom in windows.astype(int).tolist():
        shaded[top:bottom, left:right] = pixels[top:bottom, left:right]
    return shaded


def _write(
    pen: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ground: tuple[int, int, int],
) -> None:
    """Writes black on a patch of colour."""
    text = printable(text)
    pen.rectangle(pen.textbbox(corner, text, font=font), fill=ground)
    pen.text(corner, text, fill=(0, 0, 0), font=font)
