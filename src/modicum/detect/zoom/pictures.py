"""Draws pictures for reports: what the coarse pass found, and the windows with what was found in the end."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.pixels import resized
from modicum.detect.zoom.results import Example
from modicum.detect.zoom.viewing import SeenPictures, pixels_of

SHOWN_PX = 560  # longer side of a drawn picture
SHOWN_SCORE = 0.3
_FOUND, _WINDOW = (255, 64, 0), (64, 160, 255)


def draw_example(seen: SeenPictures, routes: Sequence[Tensor], gains: Sequence[float], place: int) -> Example:
    """Draws a test picture as the coarse pass and as zooming left it.

    Args:
        seen: The pictures.
        routes: Of all of them.
        gains: What zooming gained in each.
        place: Which.
    """
    look, route = seen.looks[place], routes[place]
    width, height = look.size
    scale = min(1.0, SHOWN_PX / max(width, height))
    small = resized(seen.image(place), *(max(1, round(side * scale)) for side in (height, width)))
    found = seen.answer(place, route)
    read = float(pixels_of(seen.zoom, [look.size]).of([route])) / (width * height)
    return Example(
        seen.ids[place],
        _drawn(small, scale, look.coarse, torch.zeros(0, 4)),
        _drawn(small, scale, found, route[1:]),
        gains[place],
        read,
    )


def _drawn(image: Tensor, scale: float, found: Detections, windows: Tensor) -> Image.Image:
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    draw = ImageDraw.Draw(picture)
    for box in (windows.float() * scale).tolist():
        draw.rectangle(box, outline=_WINDOW, width=3)
    for box in (found.above(SHOWN_SCORE).boxes * scale).tolist():
        draw.rectangle(box, outline=_FOUND, width=2)
    return picture
