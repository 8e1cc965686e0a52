"""CIFAR-10 and CIFAR-100: the original python and binary files, and a lossless packed form, held in memory."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from modicum.classify.data.cifar_files import (
    Block,
    read_binary,
    read_pickled,
    read_pickled_names,
    read_strips,
    read_text_names,
)
from modicum.classify.data.sources import ImageSource, Record
from modicum.datasets.contents import content_digest
from modicum.datasets.sources import Part
from modicum.storage.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class _Layout:
    """The files of one published form, and how to read one of them."""

    title: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names_file: str
    read: Callable[[Path], Block]
    read_names: Callable[[Path], list[str]]


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_LAYOUTS = (
    _Layout(
        title="CIFAR-10",
        train=_BATCHES,
        test=("test_batch",),
        names_file="batches.meta",
        read=partial(read_pickled, label_key="labels"),
        read_names=partial(read_pickled_names, key="label_names"),
    ),
    _Layout(
        title="CIFAR-100, fine labels",
        train=("train",),
        test=("test",),
        names_file="meta",
        read=partial(read_pickled, label_key="fine_labels"),
        read_names=partial(read_pickled_names, key="fine_label_names"),
    ),
    _Layout(
        title="CIFAR-10",
        train=tuple(f"{name}.bin" for name in _BATCHES),
        test=("test_batch.bin",),
        names_file="batches.meta.txt",
        read=partial(read_binary, label_bytes=1),
        read_names=read_text_names,
    ),
    _Layout(
        title="CIFAR-100, fine labels",
        train=("train.bin",),
        test=("test.bin",),
        names_file="fine_label_names.txt",
        read=partial(read_binary, label_bytes=2),
        read_names=read_text_names,
    ),
)
_ORIGINAL_FOLDERS = ("cifar-10-batches-py", "cifar-100-python", "cifar-10-batches-bin", "cifar-100-binary")


@final
class CifarImages(ImageSource):
    """CIFAR-10 or CIFAR-100 (fine labels), 32x32, train and test as the files say; ids are ``train/00000`` and so on.

    Reads the python version (its pickles are parsed, never executed), the binary version, and a packed version: strips
    of 32x32 images in lossless WebP inside ``train_*.tar`` and ``test*.tar``, ``labels.npz``, and ``meta.json`` with
    the class names and the SHA-256 of each archive's pixels. All pixels stay in memory: 184 MB for a full set.

    Args:
        root: The folder of the files, or the folder that holds it under its original name.

    Raises:
        DataError: If no known version is there, or a file is missing, truncated or inconsistent.
    """

    def __init__(self, root: str | Path) -> None:
        folder = find_cifar(Path(root))
        if folder is None:
            raise DataError(
                f"{root} holds no CIFAR files: expected data_batch_1 with batches.meta, train with meta, the same of "
                "the binary version, or labels.npz with meta.json"
            )
        layout = _layout_of(folder)
        title, self.classes, blocks = _read_original(folder, layout) if layout else _read_packed(folder)
        self.origin = str(root)
        self.records = tuple(
            Record(f"{split}/{number:05d}", label, split)
            for split, block in blocks.items()
            for number, label in enumerate(block.labels.tolist())
        )
        self._images = np.concatenate([block.images for block in blocks.values()])
        counts = ", ".join(f"{len(block.labels):,} {split}" for split, block in blocks.items())
        self.name = f"{title} (Krizhevsky, 2009): {counts} images, 32x32 px"

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns a view (32, 32, 3); see `ImageSource.pixels`."""
        pixels: NDArray[np.uint8] = self._images[index]
        return pixels

    def digest(self, index: int) -> str:
        """Returns the digest; see `ImageSource.digest`."""
        return content_digest(self._images[index].tobytes())


def find_cifar(root: Path) -> Path | None:
    """Finds the folder with CIFAR files: ``root`` itself or a folder of the original name inside it; else None."""
    folders = (root, *(root / name for name in _ORIGINAL_FOLDERS))
    return next((folder for folder in folders if _layout_of(folder) or _is_packed(folder)), None)


def _layout_of(folder: Path) -> _Layout | None:
    for layout in _LAYOUTS:
        if (folder / layout.names_file).is_file() and any((folder / name).is_file() for name in layout.train):
            return layout
    return None


def _is_packed(folder: Path) -> bool:
    return (folder / "labels.npz").is_file() and (folder / "meta.json").is_file()


def _read_original(folder: Path, layout: _Layout) -> tuple[str, tuple[str, ...], dict[Part, Block]]:
    classes = tuple(_read_named(folder / layout.names_file, layout.read_names))
    blocks: dict[Part, Block] = {}
    files: dict[Part, tuple[str, ...]] = {"train": layout.train, "test": layout.test}
    for split, names in files.items():
        parts = [_checked(_read_named(folder / name, layout.read), len(classes), folder / name) for name in names]
        blocks[split] = _joined(parts)
    return layout.title, classes, blocks


def _read_packed(folder: Path) -> tuple[str, tuple[str, ...], dict[Part, Block]]:
    classes, sha256 = _read_named(folder / "meta.json", _read_meta)
    labels = _read_named(folder / "labels.npz", _read_label_arrays)
    tests = sorted(folder.glob("test*.tar"))
    trains = sorted(folder.glob("train_*.tar"), key=lambda file: (len(file.stem), file.stem))
    if len(tests) != 1 or not trains or not {"train", tests[0].stem} <= set(labels):
        raise DataError(
            f"{folder} is incomplete: expected train_1.tar ..., one test*.tar, and their labels in labels.npz"
        )
    blocks: dict[Part, Block] = {}
    archives: dict[Part, tuple[str, list[Path]]] = {"train": ("train", trains), "test": (tests[0].stem, tests)}
    for split, (key, files) in archives.items():
        images = np.concatenate([_read_packed_images(file, sha256) for file in files])
        blocks[split] = _checked(Block(images, labels[key]), len(classes), folder / "labels.npz")
    return f"CIFAR-{len(classes)}", classes, blocks


def _read_meta(file: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    meta = json.loads(file.read_text(encoding="utf-8"))
    return tuple(meta["classes"]), dict(meta["sha256_of_raw_uint8_NHWC"])


def _read_label_arrays(file: Path) -> dict[str, NDArray[np.int64]]:
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:  # NumPy leaks the handle of a bad file
        return {key: arrays[key].astype(np.int64) for key in arrays.files}


def _read_packed_images(file: Path, sha256: dict[str, str]) -> NDArray[np.uint8]:
    images = _read_named(file, read_strips)
    if hashlib.sha256(images.tobytes()).hexdigest() != sha256.get(file.stem):
        raise DataError(f"{file} is damaged: its pixels do not have the SHA-256 that meta.json states; copy it again")
    return images


def _read_named(file: Path, read: Callable[[Path], T]) -> T:
    """Reads the file with ``read``, and adds its name to any error."""
    if not file.is_file():
        raise DataError(f"{file} is missing: get the complete set of CIFAR files")
    try:
        return read(file)
    except Exception as error:  # damaged pickles, zip files and images fail in many ways
        raise DataError(f"{file} is truncated or not as published: {error}") from error


def _checked(block: Block, num_classes: int, file: Path) -> Block:
    if len(block.labels) != len(block.images):
        raise DataError(f"{file} is inconsistent: {len(block.labels)} labels for {len(block.images)} images")
    if not len(block.labels) or block.labels.min() < 0 or block.labels.max() >= num_classes:
        raise DataError(f"{file} is inconsistent: its labels must lie in 0..{num_classes - 1}, one per image")
    return block


def _joined(blocks: list[Block]) -> Block:
    return Block(np.concatenate([b.images for b in blocks]), np.concatenate([b.labels for b in blocks]))
