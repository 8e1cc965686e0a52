"""Everything in an image file beside its pixels: EXIF, colour profile, XMP and resolution, read and written."""

import re
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

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
        ExifTags.Base.ExposureTime,
        ExifTags.Base.FNumber,
        ExifTags.Base.UserComment,
        *range(ExifTags.Base.ExposureProgram, ExifTags.Base.RecommendedExposureIndex + 1),
        *range(ExifTags.Base.ExifVersion, ExifTags.Base.ImageNumber + 1),
        *range(ExifTags.Base.SubsecTime, ExifTags.Base.SubsecTimeDigitized + 1),
        *range(ExifTags.Base.XPTitle, ExifTags.Base.XPSubject + 1),
        *range(ExifTags.Base.FlashEnergy, ExifTags.Base.Gamma + 1),
    }
)
"""Tags that describe the photograph; all others in a TIFF's directory describe how that file stores it.

Those of the photograph's own directory are among them: some programs put the date or the lens into the first one.
"""

_PROFILE_SPACES = {b"RGB ": ("RGB", "RGBA"), b"GRAY": ("L", "LA", "I;16")}
_XMP_ORIENTATION = (rb'tiff:Orientation="[0-9]"', rb"<tiff:Orientation>[0-9]</tiff:Orientation>")
_JPEG_BLOCK = 65_000  # bytes; a JPEG's EXIF or XMP must fit into one segment of 64 KiB
_INCH = 2  # EXIF's number for that unit


@dataclass(frozen=True)
class Belongings:
    """Holds the metadata that is written back with a picture.

    Attributes:
        exif: The EXIF block, without orientation; empty for none.
        icc: The colour profile; empty for none.
        xmp: The XMP packet, without orientation; empty for none.
        dpi: Pixels per inch, across and down; None where the file does not say.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None


def read_belongings(image: Image.Image) -> tuple[int, Belongings]:
    """Returns the EXIF orientation of an opened picture (1 for upright) and everything beside its pixels.

    A broken EXIF block counts as none. Profiles of inks and of other colour spaces that pixels are converted from are
    left out.
    """
    orientation, exif = _read_exif(image)
    icc = image.info.get("icc_profile") or b""
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        icc = b""
    return orientation, Belongings(exif, icc, _read_xmp(image), _read_dpi(image))


def save_options(belongings: Belongings, file_format: str, mode: str) -> dict[str, Any]:
    """Returns the options with which Pillow writes whatever of ``belongings`` the format can hold.

    Args:
        belongings: What is to be kept.
        file_format: Pillow's name of the format.
        mode: Of the picture that is written; a profile of another colour space does not fit it and is left out.
    """
    exif, xmp = belongings.exif, belongings.xmp
    if file_format == "JPEG":
        exif, xmp = (block if len(block) <= _JPEG_BLOCK else b"" for block in (exif, xmp))
    if file_format == "WEBP" and belongings.dpi is not None:
        exif = _with_resolution(exif, belongings.dpi)
    if file_format == "TIFF" and xmp:
        exif, xmp = _with_tag(exif, ExifTags.Base.XMLPacket, xmp), b""
    options: dict[str, Any] = {"exif": exif, "dpi": belongings.dpi}
    if mode in _PROFILE_SPACES.get(belongings.icc[16:20], ()):
        options["icc_profile"] = belongings.icc
    if file_format == "PNG" and xmp:
        options["pnginfo"] = _png_text(xmp)
    elif xmp:
        options["xmp"] = xmp
    held = {
        "PNG": ("exif", "dpi", "icc_profile", "pnginfo"),
        "JPEG": ("exif", "dpi", "icc_profile", "xmp"),
        "WEBP": ("exif", "icc_profile", "xmp"),
        "TIFF": ("exif", "dpi", "icc_profile"),
        "BMP": ("dpi",),
    }
    return {name: options[name] for name in held.get(file_format, ()) if options.get(name)}


def _read_exif(image: Image.Image) -> tuple[int, bytes]:
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        for tag in set(exif) - KEPT_TAGS:
            del exif[tag]
        return orientation, exif.tobytes() if len(exif) else b""
    except Exception:  # Pillow raises nearly anything on broken blocks, which say nothing against the pixels
        return 1, b""


def _read_xmp(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or b""
    packet = found.encode() if isinstance(found, str) else bytes(found)
    for pattern in _XMP_ORIENTATION:
        packet = re.sub(pattern, b"", packet)
    return packet


def _read_dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # files can say anything
        return None
    return (across, down) if 1 < across < 1e6 and 1 < down < 1e6 else None  # Pillow gives 1 where a TIFF says nothing


def _with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    block = _loaded(exif)
    block[ExifTags.Base.XResolution], block[ExifTags.Base.YResolution] = dpi
    block[ExifTags.Base.ResolutionUnit] = _INCH
    return block.tobytes()


def _with_tag(exif: bytes, tag: int, value: bytes) -> bytes:
    block = _loaded(exif)
    block[tag] = value
    return block.tobytes()


def _loaded(exif: bytes) -> Image.Exif:
    block = Image.Exif()
    if exif:
        block.load(exif)
        block.get_ifd(ExifTags.IFD.Exif)  # else they are written as the offsets that they had
        block.get_ifd(ExifTags.IFD.GPSInfo)
    return block


def _png_text(xmp: bytes) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return info
