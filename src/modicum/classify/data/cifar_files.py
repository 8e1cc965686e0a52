"""Single files of the CIFAR sets: the python, the binary and the packed form, each to images and labels.

The readers raise `ValueError`, `KeyError` or `OSError` on files that are not as published; the source names the file.
"""
# N images of 32 x 32 pixels; the originals store each as 3,072 bytes, channel by channel

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.classify.data.plain_pickle import Call, read_plain_pickle
from modicum.imaging.archives import list_members, read_member

IMAGE_BYTES = 3 * 32 * 32


class Block(NamedTuple):
    """The content of one file, or of several files joined."""

    images: NDArray[np.uint8]  # (N, 32, 32, 3)
    labels: NDArray[np.int64]  # (N,)


def read_pickled(file: Path, label_key: str) -> Block:
    """Reads a batch of the python version; nothing in it is executed."""
    batch = _pickled_dict(file)
    rows = _pickled_rows(batch["data"])
    return Block(_to_images(rows), np.array(batch[label_key], dtype=np.int64))


def read_pickled_names(file: Path, key: str) -> list[str]:
    """Reads the class names of the python version."""
    return [str(name) for name in _pickled_dict(file)[key]]


def read_binary(file: Path, label_bytes: int) -> Block:
    """Reads a batch of the binary version, whose records are labels (the last one counts) and pixels."""
    content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    record_bytes = label_bytes + IMAGE_BYTES
    if not len(content) or len(content) % record_bytes:
        raise ValueError(f"{len(content)} bytes are not a whole number of records of {record_bytes} bytes")
    records = content.reshape(-1, record_bytes)
    return Block(_to_images(records[:, label_bytes:]), records[:, label_bytes - 1].astype(np.int64))


def read_text_names(file: Path) -> list[str]:
    """Reads the class names of the binary version, one per line."""
    return file.read_text(encoding="utf-8").split()


def read_strips(archive: Path) -> NDArray[np.uint8]:
    """Reads the images (N, 32, 32, 3) of a packed archive: strips 32 pixels wide, images stacked from top to bottom."""
    members = sorted(list_members(archive), key=lambda member: member.name)
    strips = [_read_strip(read_member(archive, member.offset_data, member.size)) for member in members]
    if not strips:
        raise ValueError("the archive holds no strips")
    return np.concatenate(strips)


def _read_strip(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=("WEBP", "PNG")) as strip:
        if strip.width != 32 or strip.height % 32:
            raise ValueError(f"a strip of {strip.width}x{strip.height} pixels is not a stack of 32x32 images")
        return np.array(strip.convert("RGB")).reshape(-1, 32, 32, 3)


def _pickled_dict(file: Path) -> dict[Any, Any]:
    content = read_plain_pickle(file.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"the pickle holds a {type(content).__name__}, expected a dictionary")
    return content


def _pickled_rows(array: object) -> NDArray[np.uint8]:
    """Returns the (N, 3072) pixels of a pickled array; its state is version, shape, type, Fortran order and content."""
    if not isinstance(array, Call) or not isinstance(array.state, tuple) or len(array.state) != 5:
        raise ValueError("'data' is not a pickled array")
    _, shape, kind, is_fortran, content = array.state
    if not isinstance(kind, Call) or kind.arguments[:1] != ("u1",):
        raise ValueError("'data' does not hold unsigned bytes")
    raw = content if isinstance(content, bytes) else str(content).encode("latin-1")
    if shape != (len(raw) // IMAGE_BYTES, IMAGE_BYTES) or len(raw) % IMAGE_BYTES:
        raise ValueError(f"'data' has shape {shape} and {len(raw)} bytes, expected (N, {IMAGE_BYTES})")
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, IMAGE_BYTES, order="F" if is_fortran else "C")


def _to_images(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
