"""What both detectors find in pictures that they were not trained on, kept on disk for all that is learnt from it.

Detectors look far better on their own training pictures than on others, which would make every gain too small: the
cache is of pictures held out, or cross-fitted, each picture being seen by detectors that were trained without it.
"""

# N detections of a picture
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from modicum.detect.boxes import Detections
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.tiling import detect_whole
from modicum.detect.pixels import reduced
from modicum.storage.files import write_atomically
from modicum.storage.tensors import read_tensors
from modicum.training.progress import Countdown

log = logging.getLogger(__name__)

PART = 8  # pictures whose detections are computed, written and found again together
_PASSES = ("coarse", "fine")
_FIELDS = ("boxes", "scores", "labels", "features")


@dataclass(frozen=True, eq=False)
class BothPasses:
    """What both detectors found in one picture, in its pixels.

    Attributes:
        size: Width and height of the picture.
        coarse: Found in the reduced picture.
        fine: Found in the whole picture at full resolution.
    """

    size: tuple[int, int]
    coarse: Detections
    fine: Detections


@dataclass(frozen=True)
class DetectionStore:
    """A folder of detections.

    Attributes:
        folder: Where the parts are; made when the first is written.
        digest: Of the weights of both detectors and of everything else that detections depend on, beside the pictures.
    """

    folder: Path
    digest: str

    def passes(self, ids: Sequence[str], compute: Callable[[int], BothPasses]) -> list[BothPasses]:
        """Returns what was found in each picture; computes what is not on disk, part by part.

        Args:
            ids: Name of each picture, whose content stays the same.
            compute: From the place of a picture to what is found in it.
        """
        parts = [range(start, min(start + PART, len(ids))) for start in range(0, len(ids), PART)]
        kept = [self._read(self._file(ids, part), len(part)) for part in parts]
        missing = [place for place, found in enumerate(kept) if found is None]
        countdown = Countdown("detections in pictures", sum(len(parts[place]) for place in missing), log.info)
        for place in missing:
            found = []
            for picture in parts[place]:
                found.append(compute(picture))
                countdown.advance()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(ids, parts[place]), save(_to_tensors(found)))
            kept[place] = found
        return [each for found in kept if found is not None for each in found]

    def remove(self) -> None:
        """Removes the folder: everything is learnt."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, file: Path, count: int) -> list[BothPasses] | None:
        """Returns the detections in a file; None if there is none, or it is damaged, which is told."""
        if not file.is_file():
            return None
        try:
            return _from_tensors(read_tensors(file), count)
        except (SafetensorError, KeyError, ValueError) as error:
            log.warning("%s is damaged (%s): its detections are computed again", file, error)
            return None

    def _file(self, ids: Sequence[str], part: Sequence[int]) -> Path:
        names = "\0".join([self.digest, *(ids[place] for place in part)])
        return self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.safetensors"


def run_both_passes(
    image: Tensor,
    coarse: Detector,
    fine: Detector,
    *,
    scale: float,
    tile: tuple[int, int] | None = None,
) -> BothPasses:
    """Runs both detectors on a picture (3, H, W), uint8, the fine one in tiles where it does not fit.

    Args:
        image: The picture.
        coarse: Sees it reduced by ``scale``.
        fine: Sees it at full resolution.
        scale: In (0, 1).
        tile: Largest height and width that the fine detector runs at once; None for any.
    """
    height, width = image.shape[-2:]
    return BothPasses((width, height), detect_reduced(image, coarse, scale), detect_whole(fine, image, tile=tile))


def detect_reduced(image: Tensor, detector: Detector, scale: float) -> Detections:
    """Returns what a detector finds in a reduced picture (3, H, W), in pixels of the full one."""
    small = reduced(image, scale)
    (found,) = detector.detect([small])
    return found.scaled(image.shape[2] / small.shape[2], image.shape[1] / small.shape[1])


def store_digest(networks: Iterable[Mapping[str, Tensor]], *options: object) -> str:
    """Returns a digest of the states of detectors and of all options that detections depend on."""
    digest = hashlib.sha256(repr(options).encode())
    for state in networks:
        for name in sorted(state):
            tensor = state[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _to_tensors(found: Sequence[BothPasses]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for number, both in enumerate(found):
        tensors[f"{number}/size"] = torch.tensor(both.size)
        for name, detections in zip(_PASSES, (both.coarse, both.fine), strict=True):
            for field in _FIELDS:
                value: Any = getattr(detections, field)
                if value is not None:
                    # Cloned: safetensors takes no tensors that share memory, and a user's detector may give some.
                    tensors[f"{number}/{name}/{field}"] = value.contiguous().clone()
    return tensors


def _from_tensors(tensors: Mapping[str, Tensor], count: int) -> list[BothPasses]:
    """Returns what `_to_tensors` was given; raises KeyError or ValueError if it is something else."""

    def detections(place: str) -> Detections:
        boxes, scores, labels = (tensors[f"{place}/{field}"] for field in _FIELDS[:3])
        return Detections(boxes, scores, labels, tensors.get(f"{place}/features"))

    found = []
    for number in range(count):
        width, height = tensors[f"{number}/size"].tolist()
        coarse, fine = (detections(f"{number}/{name}") for name in _PASSES)
        found.append(BothPasses((width, height), coarse, fine))
    return found
