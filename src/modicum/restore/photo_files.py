"""Writes photographs in the format that a file's name asks for, with their depth, alpha, pages and belongings.

Pillow writes no 16-bit colour; OpenCV's PNG encoder does, and keeps what belongs to the photograph.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.imaging.belongings import Belongings, save_options
from modicum.imaging.decoding import FORMATS
from modicum.restore.photo import Photo
from modicum.restore.pixels import as_colour, quantise
from modicum.storage.errors import DataError, MissingExtraError
from modicum.storage.outputs import write_output

_BAND_ROWS = 256
_JPEG: tuple[str, dict[str, Any]] = ("JPEG", {"quality": 95, "subsampling": 0})
WRITABLE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".apng": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".jpe": _JPEG,
    ".jfif": _JPEG,
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),  # not compressed: through libtiff, Pillow 13 cannot write the camera's part of EXIF
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
"""Formats, by suffix, and how they are written; BMP alone holds neither EXIF nor a profile."""

_PAGED = ("TIFF", "WEBP", "PNG")
_ANIMATED = ("WEBP", "PNG")
_MAX_SIDE_PX = {"WEBP": 16_383, "JPEG": 65_500}


def check_writable(photos: Sequence[Photo], path: str | Path, *, scale: int = 1) -> None:
    """Raises `DataError` unless photographs can be written under a name, so this is known before they are restored.

    Args:
        photos: The pages of one file.
        path: Where they would be written.
        scale: By how much they will be larger than now.

    Raises:
        DataError: If the format cannot hold what they have: 16 bit, alpha, several pages, their size.
    """
    path = Path(path)
    file_format, _ = _format_of(path)
    if len(photos) > 1:
        _check_pages(photos, path, file_format)
    longest = scale * max(max(photo.pixels.shape[:2]) for photo in photos)
    if longest > _MAX_SIDE_PX.get(file_format, longest):
        raise DataError(f"{path} cannot be written: {file_format} has no sides of {longest:,} px; use .png")
    for photo in photos:
        _check_fits(photo, path, file_format)


def write_photos(photos: Sequence[Photo], path: str | Path) -> None:
    """Writes the pages of one file in the format that the suffix names; a crash leaves the old file or the new one.

    JPEG is written with quality 95 and full colour resolution, the others lossless. 16-bit grey with alpha becomes
    colour with alpha. Whatever of the belongings the format can hold is kept, of the first page.

    Raises:
        DataError: As `check_writable`.
        OutputError: If something stands there that modicum did not write; it is left as it is.
    """
    write_output(path, encode_photos(photos, path))


def encode_photos(photos: Sequence[Photo], path: str | Path) -> bytes:
    """Returns what `write_photos` writes into a file of this name."""
    check_writable(photos, path)
    return _encode(photos, *_format_of(Path(path)))


def output_suffix(path: Path) -> str:
    """Returns the suffix of a lossless format that holds all pages of a file: PNG's, unless they need another."""
    paged = {"TIFF": ".tif", "WEBP": ".webp"}
    if path.suffix.lower() not in (".tif", ".tiff", ".webp") or not path.is_file():
        return ".png"
    try:
        with Image.open(path, formats=FORMATS) as image:
            return paged.get(image.format or "", ".png") if getattr(image, "n_frames", 1) > 1 else ".png"
    except Exception:  # a broken file is named when it is read
        return ".png"


def _format_of(path: Path) -> tuple[str, dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise DataError(f"{path} cannot be written: {suffix or 'no suffix'} is none of {', '.join(WRITABLE)}; use .png")
    return WRITABLE[suffix]


def _check_pages(photos: Sequence[Photo], path: Path, file_format: str) -> None:
    if file_format not in _PAGED:
        raise DataError(
            f"{path} cannot be written: {file_format} holds one picture, not {len(photos)} pages or frames; use .tif, "
            ".webp or .png"
        )
    if file_format in _ANIMATED and len({photo.pixels.shape[:2] for photo in photos}) > 1:
        raise DataError(
            f"{path} cannot be written: frames of {file_format} are of one size, the pages differ; use .tif"
        )
    if file_format in _ANIMATED and any(photo.bits == 16 for photo in photos):
        raise DataError(f"{path} cannot be written: frames of {file_format} have 8 bit, the pages have 16; use .tif")


def _check_fits(photo: Photo, path: Path, file_format: str) -> None:
    if photo.alpha is not None and file_format in ("JPEG", "BMP"):
        raise DataError(f"{path} cannot be written: {file_format} has no alpha, which the photograph has; use .png")
    plain = photo.is_grey and photo.alpha is None
    if photo.bits == 16 and file_format not in (("PNG", "TIFF") if plain else ("PNG",)):
        kind = "grey" if plain else "colour"
        raise DataError(f"{path} cannot be written: 16-bit {kind} is not written as {file_format}; use .png")


def _encode(photos: Sequence[Photo], file_format: str, options: dict[str, Any]) -> bytes:
    first = photos[0]
    if first.bits == 16 and not (first.is_grey and first.alpha is None):
        return _encode_16_bit_colour(first)
    pages = [Image.fromarray(values) for values in _alike([_values(photo) for photo in photos], file_format)]
    if len(pages) > 1:
        options = options | {"save_all": True, "append_images": pages[1:]}
        if file_format in _ANIMATED:
            options |= {"duration": [photo.duration_ms or 0 for photo in photos], "loop": first.loops}
    stream = io.BytesIO()
    pages[0].save(stream, file_format, **options, **save_options(first.belongings, file_format, pages[0].mode))
    return stream.getvalue()


def _values(photo: Photo) -> NDArray[Any]:
    """Returns pixels as whole numbers, with alpha as the last channel."""
    values = _whole_numbers(photo.pixels, 65535 if photo.bits == 16 else 255)
    return values if photo.alpha is None else np.dstack([values, photo.alpha])


def _alike(pages: list[NDArray[Any]], file_format: str) -> list[NDArray[Any]]:
    """Gives all frames of an animation the same channels; pages of a TIFF may differ."""
    if file_format not in _ANIMATED or len({page.shape[2:] for page in pages}) == 1:
        return pages
    has_alpha = any(page.ndim == 3 and page.shape[2] in (2, 4) for page in pages)
    return [_in_colour(page, has_alpha=has_alpha) for page in pages]


def _in_colour(page: NDArray[Any], *, has_alpha: bool) -> NDArray[Any]:
    channels = 1 if page.ndim == 2 else page.shape[2]
    colours = as_colour(page if channels in (1, 3) else page[..., :-1].squeeze(2) if channels == 2 else page[..., :3])
    if not has_alpha:
        return colours
    alpha = page[..., -1] if channels in (2, 4) else np.full(page.shape[:2], 255, page.dtype)
    return np.dstack([colours, alpha])


def _whole_numbers(pixels: NDArray[np.float32], maximum: int) -> NDArray[Any]:
    """Converts pixels in 0..255 to whole numbers of ``0..maximum``, in bands: doubles of all would take gigabytes."""
    values = np.empty(pixels.shape, np.uint8 if maximum == 255 else np.uint16)
    for start in range(0, len(pixels), _BAND_ROWS):
        band = pixels[start : start + _BAND_ROWS].astype(np.float64)
        values[start : start + _BAND_ROWS] = quantise(band * (maximum / 255), maximum)
    return values


def _encode_16_bit_colour(photo: Photo) -> bytes:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtraError("opencv-python-headless", "restore") from error
    values = _whole_numbers(photo.pixels, 65535)
    colours = np.dstack([values] * 3) if values.ndim == 2 else values[..., ::-1]  # OpenCV wants blue first
    if photo.alpha is not None:
        colours = np.dstack([colours, photo.alpha])
    kept = save_options(photo.belongings, "PNG", "RGB")
    blocks = {
        cv2.IMAGE_METADATA_EXIF: kept.get("exif", b"").removeprefix(b"Exif\x00\x00"),
        cv2.IMAGE_METADATA_ICCP: kept.get("icc_profile", b""),
    }
    given = {kind: np.frombuffer(block, np.uint8) for kind, block in blocks.items() if block}
    _, encoded = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(colours), list(given), list(given.values()))
    return _with_chunks(bytes(encoded), photo.belongings)


def _with_chunks(png: bytes, belongings: Belongings) -> bytes:
    """Adds resolution and XMP behind the header of a PNG; OpenCV does not write them where readers expect them."""
    chunks = b""
    if belongings.dpi is not None:
        across, down = (round(value / 0.0254) for value in belongings.dpi)  # the chunk counts in metres
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if belongings.xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + belongings.xmp)  # not compressed, of no language
    header = 8 + 25  # bytes of signature and IHDR
    return png[:header] + chunks + png[header:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
