"""Sheets of example pictures, written where a user wants to look at them."""

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from modicum.storage.errors import DataError
from modicum.storage.outputs import write_output

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def check_preview_name(path: str | Path | None) -> None:
    """Raises DataError, before the data set is read, unless the suffix is a picture's; None means no preview.

    Raises:
        DataError: If it has another suffix.
    """
    if path is not None and Path(path).suffix.lower() not in _FORMATS:
        raise DataError(f"previews are written as {', '.join(_FORMATS)}, got {str(path)!r}: rename it")


def write_sheet(path: str | Path, pictures: Tensor, columns: int) -> None:
    """Writes pictures (n, 3, H, W) in [0, 1] side by side and in rows; see `write_picture`."""
    check_preview_name(path)
    sheet = make_grid(pictures, nrow=columns).mul(255).add(0.5).clamp(0, 255).permute(1, 2, 0)
    write_picture(path, Image.fromarray(sheet.to("cpu", torch.uint8).numpy()))


def write_picture(path: str | Path, picture: Image.Image) -> None:
    """Writes one picture.

    Raises:
        DataError: If the suffix is not that of a picture.
        OutputError: If something stands there that modicum did not write; it is left as it is.
    """
    check_preview_name(path)
    stream = io.BytesIO()
    picture.save(stream, _FORMATS[Path(path).suffix.lower()])
    write_output(path, stream.getvalue())
