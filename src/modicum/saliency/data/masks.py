"""Reads masks in all their forms: grey, 1 bit, colour, palette indices, or the alpha of a cut-out."""

# H W size of a mask in px
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.imaging.belongings import read_belongings
from modicum.imaging.decoding import decode, load_checked, open_image
from modicum.imaging.pictures import TURNS

UNSURE = 127  # of 255: neither salient nor certainly not
_BORDER = 255  # palette index that PASCAL VOC gives the undecided border of its objects
_CHROMA = 32  # difference of channels above which a colour is no grey that was compressed
_MAX_FLAT_COLOURS = 256


def decode_mask(content: bytes) -> NDArray[np.uint8]:
    """Decodes a mask from an image file of any pixel type, (H, W) uint8, 255 for salient pixels.

    - Where the transparency varies, it is the mask: what is opaque is salient.
    - Of a palette or flat colours that are not all grey, everything but black is salient (everything but index 0, if
      no colour is black); the border that PASCAL VOC leaves undecided is `UNSURE`.
    - Otherwise the mask is the brightness; values 0 and 1 alone mean 0 and 255.

    Raises:
        BadImageError: If the file cannot be read as an image.
    """
    with open_image(content) as image:
        load_checked(image)
        values = _values(image, content)
        orientation, _ = read_belongings(image)
    if orientation in TURNS:
        values = np.array(Image.fromarray(values).transpose(Image.Transpose(TURNS[orientation])))
    return values * np.uint8(255) if values.max() == 1 else values


def _values(image: Image.Image, content: bytes) -> NDArray[np.uint8]:
    """Returns the mask as stored in the file, not turned."""
    if image.has_transparency_data or "transparency" in image.info:
        alpha = np.array(image.convert("RGBA"))[..., 3]
        if alpha.min() < alpha.max():
            return np.ascontiguousarray(alpha)
    if image.mode == "P":
        return _of_palette(image)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))
    if image.mode.startswith(("I", "F")):
        return _of_numbers(image, content)
    colours = np.array(image.convert("RGB"))
    if _is_grey(colours.reshape(-1, 3)):
        return np.array(image.convert("L"))
    flat = np.unique(colours.reshape(-1, 3), axis=0)
    if len(flat) <= _MAX_FLAT_COLOURS and not flat.any(axis=1).all():  # there is black among them
        return _as_mask(colours.any(axis=2))
    return np.ascontiguousarray(colours.max(axis=2))


def _of_palette(image: Image.Image) -> NDArray[np.uint8]:
    indices, colours = np.array(image), np.array(image.convert("RGB"))
    used, first = np.unique(indices, return_index=True)
    shown = colours.reshape(-1, 3)[first]
    if _is_grey(shown):
        return np.array(image.convert("L"))
    has_black = not shown.any(axis=1).all()
    mask = _as_mask(colours.any(axis=2) if has_black else indices != 0)
    if _BORDER in used and len(used) > 2:
        mask[indices == _BORDER] = UNSURE
    return mask


def _of_numbers(image: Image.Image, content: bytes) -> NDArray[np.uint8]:
    """Returns the mask of 16-bit pixels; values up to 255 are 8-bit masks or labels in a wider type."""
    values = np.asarray(image)
    if values.dtype != np.float32 and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    return np.array(decode(content).convert("L"))


def _is_grey(colours: NDArray[np.uint8]) -> bool:
    return bool((np.ptp(colours.astype(np.int16), axis=1) <= _CHROMA).all())


def _as_mask(is_salient: Any) -> NDArray[np.uint8]:  # noqa: ANN401  numpy's own types call the result of `any` a scalar, too
    return np.where(is_salient, 255, 0).astype(np.uint8)
