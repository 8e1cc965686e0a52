"""Photographs as users hold them: grey or colour, 8 or 16 bit, with alpha, orientation, EXIF and colour profile.

Pillow reads 16-bit colour as 8-bit; such files go through OpenCV, whose PNG encoder keeps what belongs to them.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from modicum.imaging.decoding import FORMATS, BadImageError, decode
from modicum.imaging.files import read_content
from modicum.restore.pixels import quantise, simplest_form
from modicum.restore.resampling import upscale
from modicum.storage.errors import DataError, MissingExtraError
from modicum.storage.outputs import write_output

KEPT_TAGS = frozenset(
    {
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
        ExifTags.Base.ExifOffset,
        ExifTags.Base.GPSInfo,
    }
)
"""What a photograph says of itself; all else in a TIFF's directory is about how that file stores it."""

_BAND_ROWS = 256
WRITABLE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),  # not compressed: through libtiff, Pillow 13 cannot write the camera's part of EXIF
    ".tiff": ("TIFF", {}),
}
"""Formats, by suffix, that hold EXIF and a colour profile, and how they are written."""


@dataclass(frozen=True)
class Photo:
    """A picture to be restored, and what has to come back with it.

    Attributes:
        pixels: Shape (H, W) for grey, (H, W, 3) for colour; float32, 0..255 also for 16 bit; upright.
        alpha: Shape (H, W), uint8 or uint16 as ``bits`` says; None for opaque pictures.
        bits: Of each value in the file, 8 or 16.
        exif: The block that goes into the new file, without orientation; empty for none.
        icc: The colour profile of the pixels; empty for none.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[Any] | None = None
    bits: Literal[8, 16] = 8
    exif: bytes = b""
    icc: bytes = b""

    @property
    def is_grey(self) -> bool:
        """Whether the pixels have one channel."""
        return self.pixels.ndim == 2

    def with_pixels(self, pixels: NDArray[Any]) -> Self:
        """The same photograph with restored pixels, (H, W) or (H, W, 3) in 0..255; alpha is enlarged with them.

        Raises:
            ValueError: If the new sides are no whole multiple of the old ones.
        """
        (height, width), (new_height, new_width) = self.pixels.shape[:2], pixels.shape[:2]
        factor = max(new_height // height, 1)
        if (new_height, new_width) != (height * factor, width * factor):
            raise ValueError(
                f"restored pixels of {new_height}x{new_width} are no whole multiple of the photograph's "
                f"{height}x{width}"
            )
        alpha = self.alpha if self.alpha is None or factor == 1 else upscale(self.alpha, factor)
        return replace(self, pixels=pixels.astype(np.float32, copy=False), alpha=alpha)


def read_photo(path: str | Path) -> Photo:
    """The photograph in a file; raises `BadImageError` with the reason where it cannot be used."""
    return decode_photo(read_content(Path(path)))


def decode_photo(content: bytes) -> Photo:
    """The photograph in the bytes of a file.

    Palettes become colours, or greys where they hold nothing else; CMYK and other colour spaces become RGB, without
    the profile that belonged to them. 16 bit is kept for grey images, and for colour in PNG and TIFF.

    Raises:
        BadImageError: As `decode`; the message is the reason.
        MissingExtraError: If the file has 16-bit colour and OpenCV is not installed.
    """
    decode(content)  # refuses with a reason whatever cannot be used, so that nothing below fails on its content
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        stored_as = "".join(str(tile.args) for tile in image.tile)  # empty once the image is loaded
        orientation, exif = _read_exif(image)
        icc = image.info.get("icc_profile") or b""
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            icc = b""
        # What Pillow's decoder is told is the only sign of 16 bits that it is about to make 8.
        if ";16" in stored_as and image.mode in ("LA", "RGB", "RGBA"):
            values = _decode_16_bit_colour(content, is_grey="LA;16" in stored_as)
        else:
            values = _decode_by_pillow(image)
    return _assemble(_turned(values, orientation), exif, icc)


def photo_of_picture(picture: Image.Image) -> Photo:
    """The photograph in a PIL image, as it is: with its depth and alpha, without orientation, EXIF and profile."""
    return _assemble(_decode_by_pillow(picture), b"", b"")


def _assemble(values: NDArray[Any], exif: bytes, icc: bytes) -> Photo:
    bits: Literal[8, 16] = 16 if values.dtype == np.uint16 else 8
    colours, alpha = _apart(values)
    pixels = (colours / (257 if bits == 16 else 1)).astype(np.float32)  # 257 = 65535 / 255
    return Photo(pixels, alpha, bits, exif, icc)


def write_photo(photo: Photo, path: str | Path) -> None:
    """Writes a photograph in the format that the suffix names; a crash leaves the old file or the new one.

    JPEG is written with quality 95 and full colour resolution, the others lossless. 16-bit grey with alpha becomes
    colour with alpha.

    Raises:
        DataError: If the format cannot hold what the photograph has: 16 bit, alpha, or anything beside the pixels.
        OutputError: If something stands there that modicum did not write; it is left as it is.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise DataError(f"{path} cannot be written: {suffix or 'no suffix'} is none of {', '.join(WRITABLE)}; use .png")
    write_output(path, _encode(photo, path, *WRITABLE[suffix]))


def _encode(photo: Photo, path: Path, file_format: str, options: dict[str, Any]) -> bytes:
    _check_fits(photo, path, file_format)
    values = _whole_numbers(photo.pixels, 65535 if photo.bits == 16 else 255)
    if photo.bits == 16 and not (photo.is_grey and photo.alpha is None):
        return _encode_16_bit_colour(values, photo)
    if photo.alpha is not None:
        values = np.dstack([values, photo.alpha])
    belongings = {name: block for name, block in (("exif", photo.exif), ("icc_profile", photo.icc)) if block}
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, file_format, **options, **belongings)
    return stream.getvalue()


def _whole_numbers(pixels: NDArray[np.float32], maximum: int) -> NDArray[Any]:
    """Pixels in 0..255 as whole numbers of ``0..maximum``; in bands, as doubles of all would take gigabytes."""
    values = np.empty(pixels.shape, np.uint8 if maximum == 255 else np.uint16)
    for start in range(0, len(pixels), _BAND_ROWS):
        band = pixels[start : start + _BAND_ROWS].astype(np.float64)
        values[start : start + _BAND_ROWS] = quantise(band * (maximum / 255), maximum)
    return values


def _check_fits(photo: Photo, path: Path, file_format: str) -> None:
    if photo.alpha is not None and file_format == "JPEG":
        raise DataError(f"{path} cannot be written: JPEG has no alpha, which the photograph has; use .png")
    plain = photo.is_grey and photo.alpha is None
    if photo.bits == 16 and file_format not in (("PNG", "TIFF") if plain else ("PNG",)):
        kind = "grey" if plain else "colour"
        raise DataError(f"{path} cannot be written: 16-bit {kind} is not written as {file_format}; use .png")


def _read_exif(image: Image.Image) -> tuple[int, bytes]:
    """Orientation, 1 for upright, and the EXIF block with what is worth keeping; a broken block counts as none."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        for tag in set(exif) - KEPT_TAGS:
            del exif[tag]
        return orientation, exif.tobytes() if len(exif) else b""
    except Exception:  # Pillow raises nearly anything on broken blocks, which say nothing against the pixels
        return 1, b""


def _decode_by_pillow(image: Image.Image) -> NDArray[Any]:
    """Values of an opened image as they are, (H, W) or (H, W, C) with alpha last; uint8, or uint16 for 16-bit grey."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    has_alpha = image.has_transparency_data or "transparency" in image.info
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("LA" if has_alpha else "L"))
    values = np.array(image.convert("RGBA" if has_alpha else "RGB"))
    if image.mode in ("P", "PA"):
        return np.dstack([simplest_form(values[..., :3]), values[..., 3:]]) if has_alpha else simplest_form(values)
    return values


def _decode_16_bit_colour(content: bytes, *, is_grey: bool) -> NDArray[Any]:
    """Values (H, W, C), uint16, alpha last; OpenCV makes three channels of grey with alpha, of which one is taken."""
    cv2 = _opencv()
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise BadImageError("its 16-bit colours cannot be read: convert it to a PNG")
    if is_grey:
        return np.array(values[..., ::3])
    return np.array(cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _encode_16_bit_colour(values: NDArray[Any], photo: Photo) -> bytes:
    cv2 = _opencv()
    colours = np.dstack([values] * 3) if values.ndim == 2 else values[..., ::-1]  # OpenCV wants blue first
    if photo.alpha is not None:
        colours = np.dstack([colours, photo.alpha])
    blocks = {
        cv2.IMAGE_METADATA_EXIF: photo.exif.removeprefix(b"Exif\x00\x00"),
        cv2.IMAGE_METADATA_ICCP: photo.icc,
    }
    given = {kind: np.frombuffer(block, np.uint8) for kind, block in blocks.items() if block}
    _, encoded = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(colours), list(given), list(given.values()))
    return bytes(encoded)


def _opencv() -> ModuleType:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtraError("opencv-python-headless", "restore") from error
    return cv2


def _apart(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colours (H, W) or (H, W, 3), and alpha (H, W) if there is a second or fourth channel."""
    if values.ndim == 2 or values.shape[2] == 3:
        return values, None
    colours = values[..., 0] if values.shape[2] == 2 else values[..., :3]
    return colours, np.ascontiguousarray(values[..., -1])


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The image as its EXIF orientation (1 to 8) wants it shown."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
