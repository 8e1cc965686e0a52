"""White of 16-bit pixels: the depth that a file declares, or what its values suggest."""

import struct
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHITE_16_BIT = 65535
SUSPECT_BITS = 14  # a 16-bit picture whose values need no more has at most a quarter of the range

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _WHITE_LEVEL = 258, 281, 50717  # tags of TIFF, the last one of DNG


class DepthWarning(UserWarning):
    """A 16-bit picture seems to have fewer bits, but does not say so: it is read as nearly black."""


def white_of(values: NDArray[Any], image: Image.Image, content: bytes = b"") -> int:
    """Returns the value that stands for white in 16-bit pixels; 65535 if the file declares no other.

    PNG declares a depth by the chunk sBIT; TIFF by 9 to 15 bits per sample, MaxSampleValue, or WhiteLevel. Files whose
    values exceed what they declare are taken to use all of the range, and so are those PNGs that keep to the standard:
    their values are shifted to the upper bits.

    Args:
        values: The pixels.
        image: The opened file.
        content: All of its bytes; empty for a picture that was opened elsewhere.
    """
    white = _white_by_tags(image)
    if content.startswith(_PNG_SIGNATURE):
        white = _white_of_bits(_significant_bits(content))
        if not (values & (WHITE_16_BIT // (white + 1))).any():
            return WHITE_16_BIT
    return white if values.max(initial=0) <= white else WHITE_16_BIT


def scale_to_8_bit(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Scales values in 0..white to 0..255, rounded; values above white become white.

    Their type must hold 255 times as much.
    """
    scaled: NDArray[np.uint8] = np.minimum((values * 255 + white // 2) // white, 255).astype(np.uint8)
    return scaled


def warn_of_depth(largest: int, white: int, name: str = "") -> None:
    """Warns of a 16-bit picture whose largest value suggests that it has fewer bits, where no depth is declared.

    Args:
        largest: Its largest value.
        white: What stands for white in it, by `white_of`.
        name: Of the picture; empty where it has none.
    """
    bits = largest.bit_length()
    if white == WHITE_16_BIT and 0 < bits <= SUSPECT_BITS:
        warnings.warn(
            f"{name or 'a picture'}: the 16-bit values need no more than {bits} bits, so the picture is nearly black: "
            "scale it to 16 bits, or declare its depth (PNG: sBIT; TIFF: MaxSampleValue)",
            DepthWarning,
            stacklevel=3,
        )


def _white_by_tags(image: Image.Image) -> int:
    tags = getattr(image, "tag_v2", {})
    for tag in (_WHITE_LEVEL, _MAX_SAMPLE_VALUE):
        if 255 < (value := _largest(tags.get(tag))) <= WHITE_16_BIT:
            return value
    return _white_of_bits(_largest(tags.get(_BITS_PER_SAMPLE)))


def _white_of_bits(bits: int) -> int:
    return 2**bits - 1 if 8 < bits < 16 else WHITE_16_BIT


def _largest(value: object) -> int:
    values = value if isinstance(value, tuple) else (value,)
    return max((int(each) for each in values if isinstance(each, int | float)), default=0)


def _significant_bits(content: bytes) -> int:
    return next((max(data, default=0) for kind, data in _png_chunks(content) if kind == b"sBIT"), 0)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields kind and data of the chunks before the pixels."""
    place = len(_PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind in (b"IDAT", b"IEND"):
            return
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length
