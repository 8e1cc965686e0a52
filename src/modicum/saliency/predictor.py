"""From what a user holds (a path, a picture, an array) to a mask, a cut-out and an overlay at full resolution."""

# H W size of a picture in px, S side of the network's input
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from modicum.exporting.folding import fold_batch_norms
from modicum.imaging.belongings import Belongings, save_options
from modicum.imaging.decoding import BadImageError
from modicum.imaging.pictures import Picture, Source, name_of, read_picture
from modicum.prediction import PICTURE_KINDS, Advanced, Failure, Limits, Pending, pend
from modicum.saliency.data.transforms import Preprocessing, to_input
from modicum.saliency.folding import fold_saliency
from modicum.saliency.network import SaliencyNet
from modicum.saliency.unet import UNet
from modicum.saliency.upsampling import enlarge
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json, tell_files, write_output

HALF = 128
_OVERLAY = (255, 64, 0)
_OPACITY = 0.55
_FILES = {"mask": ".png", "cut_out": ".png", "overlay": ".jpg"}  # that are written for a picture, by kind

_Read = tuple[str, Picture]  # with its name


@dataclass(frozen=True, eq=False)
class Salience:
    """What is salient in one picture.

    Attributes:
        name: Its path, or its place among the inputs.
        picture: The picture, upright.
        mask: (H, W) uint8, 255 where the network is certain that a viewer would look.
        files: Where mask, cut-out and overlay were written, by kind.
    """

    name: str
    picture: Picture
    mask: NDArray[np.uint8]
    files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        place = "nothing stands out" if self.box is None else "within {}, {}, {}, {}".format(*self.box)
        return f"{printable(self.name)}: {self.share:.0%} salient, {place}{tell_files(self.files)}"

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The picture as the network saw it, (H, W, 3) uint8, transparent parts laid on white."""
        return self.picture.pixels

    @cached_property
    def share(self) -> float:
        """Share of the pixels that are more salient than not, in [0, 1]."""
        return float((self.mask >= HALF).mean())

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of these pixels, px, the last two excluded; None if there are none."""
        rows, columns = (np.flatnonzero((self.mask >= HALF).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def cut_out(self) -> Image.Image:
        """Returns the picture with the mask as its alpha channel, RGBA; transparent pixels stay transparent."""
        alpha = self.mask
        if self.picture.alpha is not None:
            alpha = ((self.mask.astype(np.uint16) * self.picture.alpha + 127) // 255).astype(np.uint8)
        return Image.fromarray(np.dstack([self.picture.colours, alpha]))

    def overlay(self) -> Image.Image:
        """Returns the picture with the salient region tinted, RGB."""
        tint = Image.new("RGB", (self.pixels.shape[1], self.pixels.shape[0]), _OVERLAY)
        opacity = Image.fromarray(self.mask).point([round(_OPACITY * level) for level in range(256)])
        return Image.composite(tint, Image.fromarray(self.pixels), opacity)

    def pictures(self) -> dict[str, Image.Image]:
        """Returns mask, cut-out and overlay."""
        return {"mask": Image.fromarray(self.mask), "cut_out": self.cut_out(), "overlay": self.overlay()}

    def encode(self) -> dict[str, bytes]:
        """Returns ``mask.png``, ``cut_out.png`` and ``overlay.jpg``.

        All three keep EXIF, XMP and resolution of the picture, and those in colour its profile.
        """
        pictures, belongings = self.pictures(), self.picture.belongings
        return {
            f"{kind}{suffix}": encode(pictures[kind], "JPEG" if suffix == ".jpg" else "PNG", belongings)
            for kind, suffix in _FILES.items()
        }

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes what `encode` returns as ``<name>_mask.png`` and so on; returns the paths.

        Raises:
            OutputError: If something stands there that modicum did not write; it is left as it is.
        """
        files = files_of(Path(folder) / Path(self.name).name)
        for file, content in zip(files.values(), self.encode().values(), strict=True):
            write_output(file, content)
        return files

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON; without the pictures."""
        height, width = self.mask.shape
        found = {"width": width, "height": height, "share": self.share, "box": self.box}
        return {"name": self.name, **found, **files_to_json(self.files)}


class Predictor:
    """Finds what is salient in pictures of any size; call it with one, or use `predict_all` for many.

    Pictures are stretched to the network's square; where a picture is more than twice as large, its map is drawn to
    the picture's edges by a guided filter, elsewhere enlarged bilinearly.

    Args:
        network: Trained; a folded copy of it is run, on the device where it is. A plain `UNet` is taken, too.
        preprocessing: How a picture becomes what the network gets.
        is_guided: Whether maps of large pictures are drawn to their edges.
    """

    def __init__(self, network: SaliencyNet | UNet, preprocessing: Preprocessing, *, is_guided: bool = True) -> None:
        self.preprocessing, self.is_guided = preprocessing, is_guided
        self._device = next(network.parameters()).device
        self._network: Any = fold_saliency(network) if isinstance(network, SaliencyNet) else fold_batch_norms(network)

    @property
    def limits(self) -> Limits:
        """Accepts pictures of any size, which are stretched to the network's square."""
        return Limits(PICTURE_KINDS, size_px=self.preprocessing.size, smallest_px=1)

    def __call__(self, image: Source) -> Salience:
        """Finds what is salient in one picture: a path, the bytes of a file, a PIL image, or an array.

        Raises:
            BadImageError: If it cannot be read.
        """
        found = next(self.predict_all([image], batch_size=1))
        if isinstance(found, Failure):
            raise BadImageError(str(found))
        return found

    def predict_all(self, images: Iterable[Source], *, batch_size: int = 8) -> Iterator[Salience | Failure]:
        """Yields the salience of each picture in order; pictures that cannot be read give a `Failure`.

        Raises:
            ValueError: If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        read = map(_read, count(), images)
        while batch := list(islice(read, batch_size)):
            yield from self._find_all(batch)

    def start(self, images: Iterable[Source]) -> list[Pending[_Read] | Failure]:
        """Reads pictures, which can take their one step together; see `modicum.prediction.Predictor`."""
        return pend(map(_read, count(), images), lambda _: self.preprocessing.size)

    def advance(self, pendings: Sequence[Pending[_Read]], *, knob: float | None = None) -> Advanced:
        """Finds what is salient in pictures; see `modicum.prediction.Predictor`."""
        found = self._find_all([pending.state for pending in pendings])
        return Advanced([(pending.item, each) for pending, each in zip(pendings, found, strict=True)], [])

    @torch.inference_mode()
    def maps(self, pictures: Iterable[NDArray[np.uint8]]) -> Tensor:
        """Returns maps (n, S, S) of pictures (H, W, 3) uint8 at the network's input size, in [0, 1], on the CPU."""
        size, kind = self.preprocessing.size, self.preprocessing.interpolation
        images = torch.stack([to_input(pixels, size, kind) for pixels in pictures]).to(self._device)
        batch = self.preprocessing.normalise(images).contiguous(memory_format=torch.channels_last)
        dtype = next(self._network.parameters()).dtype
        maps: Tensor = self._network.saliency(batch.to(dtype))[:, 0].float().cpu()
        return maps

    def enlarge(self, saliency: Tensor, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarges a map (S, S) to the full size of its picture, (H, W) uint8."""
        return enlarge(saliency.numpy(), pixels, is_guided=self.is_guided)

    def _find_all(self, batch: Sequence[_Read | Failure]) -> Iterator[Salience | Failure]:
        readable = [each[1].pixels for each in batch if not isinstance(each, Failure)]
        maps = iter(self.maps(readable) if readable else ())
        for each in batch:
            if isinstance(each, Failure):
                yield each
            else:
                name, picture = each
                yield Salience(name, picture, self.enlarge(next(maps), picture.pixels))


def files_of(place: Path) -> dict[str, Path]:
    """Returns the files to write for a picture, by kind, from its place in the output folder."""
    return {kind: place.with_name(f"{place.stem}_{kind}{suffix}") for kind, suffix in _FILES.items()}


def encode(picture: Image.Image, form: str, belongings: Belongings) -> bytes:
    """Encodes an image file with the picture's metadata; PNG is written fast rather than small."""
    stream = io.BytesIO()
    options = {"compress_level": 1} if form == "PNG" else {"quality": 90}
    picture.save(stream, form, **options, **save_options(belongings, form, picture.mode))
    return stream.getvalue()


def _read(place: int, image: Source) -> _Read | Failure:
    name = name_of(image, place)
    try:
        return name, read_picture(image)
    except BadImageError as error:
        return Failure(name, str(error))
