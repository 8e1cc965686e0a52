"""From a photograph in any form to the restored one: of its size, depth and belongings, whatever the network sees."""

# H W size of a photograph in px, s scale
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Source, check_array, content_of, name_of
from modicum.nn.tiles import Progress
from modicum.prediction import PICTURE_KINDS, Advanced, Failure, Limits, Pending, pend
from modicum.restore.colour import replace_studio_luma, studio_luma
from modicum.restore.degradations import mosaic
from modicum.restore.photo import Photo, decode_photos, photo_of_picture
from modicum.restore.photo_files import encode_photos, write_photos
from modicum.restore.pixels import as_colour, quantise, same_size
from modicum.restore.task import Task
from modicum.storage.errors import DataError
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json, tell_files

Accept = Callable[[Sequence[Photo]], None]
Restore = Callable[[NDArray[Any]], NDArray[np.float32]]
_Read = tuple[str, tuple[Photo, ...]]  # the pages of a file, with its name

_GAP = 8  # pixels between before and after
_BAND_ROWS = 256


class ImageRestorer(Protocol):
    """What restores whole images of its own number of channels: a network in tiles, or what was exported of it."""

    def restore(self, image: NDArray[Any], progress: Progress | None = None) -> NDArray[np.float32]:
        """Restores an image (H, W) or (H, W, 3) in 0..255 to (s H, s W) or (s H, s W, 3), not clipped."""


@dataclass(frozen=True, eq=False)
class Restored:
    """A photograph before and after.

    Attributes:
        name: Its path, or its place among the inputs.
        before: As it came.
        after: Restored.
        seconds: How long the restoration took.
        following: The other pages or frames of the same file.
        files: Where it was written, and its comparison.
    """

    name: str
    before: Photo
    after: Photo
    seconds: float
    following: tuple["Restored", ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        height, width = self.after.pixels.shape[:2]
        pages = f"{1 + len(self.following)} pages of " if self.following else ""
        seconds = self.seconds + sum(page.seconds for page in self.following)
        what = f"{pages}{width}x{height} pixels in {seconds:.1f} s"
        return f"{printable(self.name)}: {what}{tell_files(self.files)}"

    def image(self) -> Image.Image:
        """Returns the restored photograph in 8 bit, without alpha."""
        return Image.fromarray(quantise(self.after.pixels))

    def pictures(self) -> dict[str, Image.Image]:
        """Returns the restored photograph."""
        return {"restored": self.image()}

    def comparison(self) -> Image.Image:
        """Returns before and after side by side, at the same size, in 8 bit."""
        scale = self.after.pixels.shape[0] // self.before.pixels.shape[0]
        before = Image.fromarray(quantise(same_size(as_colour(self.before.pixels), scale)))
        sheet = Image.new("RGB", (2 * before.width + _GAP, before.height), "white")
        sheet.paste(before, (0, 0))
        sheet.paste(self.image().convert("RGB"), (before.width + _GAP, 0))
        return sheet

    def encode(self) -> dict[str, bytes]:
        """Returns the restored photograph, all of its pages, as ``restored.png``, or ``restored.tif`` for pages.

        Raises:
            DataError: If that format cannot hold the pages, such as several in 16-bit colour.
        """
        name = "restored.tif" if self.following and self.after.duration_ms is None else "restored.png"
        return {name: encode_photos(self._pages(), name)}

    def save(self, path: str | Path) -> dict[str, Path]:
        """Writes the restored photograph, all of its pages, in the format of the suffix; says where it stands.

        See `write_photos`.
        """
        write_photos(self._pages(), path)
        return {"restored": Path(path)}

    def _pages(self) -> list[Photo]:
        return [self.after, *(page.after for page in self.following)]

    def to_json(self) -> dict[str, object]:
        """Returns plain data for JSON, without the pictures, and without the time, which differs between runs."""
        height, width = self.after.pixels.shape[:2]
        after, before = (photo.pixels.mean(dtype=np.float64) for photo in (self.after, self.before))
        found: dict[str, object] = {"width": width, "height": height, "mean_change": abs(float(after - before))}
        if self.following:
            found["pages"] = 1 + len(self.following)
        return {"name": self.name, **found, **files_to_json(self.files)}


class Predictor:
    """Restores photographs; call it with one, or use `predict_all` for many.

    Takes grey and colour, 8 and 16 bit, with and without alpha, from 1 pixel up. A network for grey noise restores each
    channel by itself; one for JPEG artifacts the luma, the colours stay; a colour network sees a grey photograph as
    three equal channels. A demosaicer takes a raw GRBG mosaic, grey or with the missing samples at 0.

    Args:
        restorer: The network, and how it is run.
        task: What it undoes.
    """

    def __init__(self, restorer: ImageRestorer, task: Task) -> None:
        self.restorer, self.task = restorer, task

    @property
    def limits(self) -> Limits:
        """Accepts photographs of any size, which are processed in tiles."""
        return Limits(PICTURE_KINDS, smallest_px=1)

    def __call__(self, image: Source, progress: Progress | None = None) -> Restored:
        """Restores one photograph from a path, the bytes of a file, a PIL image, or an array.

        Args:
            image: The photograph.
            progress: Called with the number of tiles done and of all, of each channel that is restored by itself.

        Raises:
            BadImageError: If it cannot be read, or is not a mosaic where one is needed.
        """
        restored = next(self.predict_all([image], progress))
        if isinstance(restored, Failure):
            raise BadImageError(str(restored))
        return restored

    def predict_all(
        self, images: Iterable[Source], progress: Progress | None = None, *, accept: Accept | None = None
    ) -> Iterator[Restored | Failure]:
        """Restores photographs in order, as they come; all pages of a file. Unreadable ones are reported and skipped.

        Args:
            images: The photographs.
            progress: As for one photograph.
            accept: Called with the pages of each file before they are restored; a `DataError` refuses that file.
        """
        for place, image in enumerate(images):
            read = _read(place, image)
            yield read if isinstance(read, Failure) else self._restore(*read, progress, accept)

    def start(self, images: Iterable[Source]) -> list[Pending[_Read] | Failure]:
        """Reads photographs, each of which takes one step then; see `modicum.prediction.Predictor`."""
        return pend(map(_read, count(), images), lambda read: read[1][0].pixels.shape)

    def advance(self, pendings: Sequence[Pending[_Read]], *, knob: float | None = None) -> Advanced:
        """Restores photographs, one after the other; see `modicum.prediction.Predictor`."""
        return Advanced([(pending.item, self._restore(*pending.state)) for pending in pendings], [])

    def _restore(
        self, name: str, photos: Sequence[Photo], progress: Progress | None = None, accept: Accept | None = None
    ) -> Restored | Failure:
        try:
            if accept is not None:
                accept(photos)
        except DataError as error:
            return Failure(name, str(error), "not written")
        try:
            first, *others = (self._restore_page(name, photo, progress) for photo in photos)
        except DataError as error:
            return Failure(name, str(error))
        return replace(first, following=tuple(others))

    def _restore_page(self, name: str, photo: Photo, progress: Progress | None) -> Restored:
        start = time.perf_counter()
        pixels = restore_pixels(photo.pixels, self.task, lambda part: self.restorer.restore(part, progress))
        np.clip(pixels, 0, 255, out=pixels)
        return Restored(name, photo, photo.with_pixels(pixels), time.perf_counter() - start)


def restore_pixels(pixels: NDArray[np.float32], task: Task, restore: Restore) -> NDArray[Any]:
    """Restores grey or colour pixels with a network of one or three channels.

    Args:
        pixels: Shape (H, W) or (H, W, 3), in 0..255.
        task: What the network undoes.
        restore: The network on images of its own number of channels.

    Raises:
        BadImageError: If a demosaicer is given something else than a mosaic.
    """
    if task.name == "demosaic":
        return restore(_as_mosaic(pixels))
    is_grey = pixels.ndim == 2
    if task.channels == 1 and is_grey:
        return restore(pixels)
    if task.channels == 3:
        restored = restore(as_colour(pixels))
        return restored.mean(axis=2) if is_grey else restored
    restored = np.empty_like(pixels)
    if task.target_luma == "studio":
        _restore_luma(pixels, restored, restore)
    else:
        for channel in range(3):
            restored[..., channel] = restore(pixels[..., channel])
    return restored


def _restore_luma(pixels: NDArray[np.float32], restored: NDArray[np.float32], restore: Restore) -> None:
    """Fills ``restored``; in bands, as doubles of the whole would take 60 bytes of each pixel."""
    bands = [slice(top, top + _BAND_ROWS) for top in range(0, len(pixels), _BAND_ROWS)]
    luma = restore(np.concatenate([studio_luma(pixels[band]).astype(np.float32) for band in bands]))
    for band in bands:
        restored[band] = replace_studio_luma(pixels[band], luma[band])


def _as_mosaic(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    kept: NDArray[np.float32] = mosaic(as_colour(pixels))  # type: ignore[assignment]  # it keeps the dtype
    if pixels.ndim == 3 and not np.array_equal(kept, pixels):
        raise BadImageError("not a GRBG mosaic: give raw samples as a grey image, or colours with the others at 0")
    return kept


def _read(place: int, image: Source) -> _Read | Failure:
    name = name_of(image, place)
    try:
        return name, _open(image)
    except DataError as error:
        return Failure(name, str(error))


def _open(image: Source) -> tuple[Photo, ...]:
    if isinstance(image, Image.Image):
        return (photo_of_picture(image),)
    if isinstance(image, np.ndarray):
        check_array(image)
        return (Photo(image.astype(np.float32)),)
    content, name = content_of(image)
    return decode_photos(content, name)
