"""Writing an exported network: its folder appears once its graphs were proven to answer as the network does."""

import copy
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modicum.adaptive.exits import ExitRule
from modicum.adaptive.knobs import check_knob
from modicum.datasets.preprocessing import Preprocessing
from modicum.exporting.classifiers import PREPROCESSING
from modicum.exporting.folders import replaced_folder
from modicum.exporting.manifest import Graph, write_manifest
from modicum.exporting.parity import check_parity
from modicum.exporting.samples import sample_images
from modicum.storage.errors import install_hint
from modicum.storage.files import JSON

N = TypeVar("N", bound=nn.Module)
Outputs: TypeAlias = dict[str, NDArray[Any]]
"""Outputs by name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stated:
    """Holds what a manifest states of a classifier that the network itself does not know.

    Attributes:
        preprocessing: How pictures become images: ``size`` (equal to the network's), ``resize_short``, ``mean`` and
            ``std``, e.g. ``dataclasses.asdict`` of `modicum.datasets.preprocessing.Preprocessing`; ``interpolation``
            if it is not "bilinear"; other keys are ignored.
        classes: Name of each class.
        knob: Accuracy against cost, unless a caller of the runner names another.
        calibration: Where the knob comes from, for the record; None where it was not calibrated.
    """

    preprocessing: Mapping[str, JSON]
    classes: Sequence[str]
    knob: float
    calibration: Mapping[str, JSON] | None = None

    def details(self, *, image_px: int, num_classes: int) -> dict[str, JSON]:
        """Returns these fields of the manifest, after a check that they fit a network.

        Args:
            image_px: Side of the images that the network takes.
            num_classes: How many classes it distinguishes.

        Raises:
            ValueError: If preprocessing lacks something or gives images of another size, there are more or fewer names
                than classes, or the knob is not finite.
        """
        self._check_fit(image_px, num_classes)
        shape: JSON = ["batch", 3, image_px, image_px]
        return {
            "images": {"shape": shape, "dtype": "float32", "range": "normalised with mean and std"},
            "preprocessing": {
                **{key: self.preprocessing[key] for key in PREPROCESSING},
                "interpolation": self.preprocessing.get("interpolation", "bilinear"),
            },
            "classes": list(self.classes),
            "knob": self.knob,
            "calibration": None if self.calibration is None else dict(self.calibration),
        }

    def _check_fit(self, image_px: int, num_classes: int) -> None:
        preprocessing, classes = self.preprocessing, self.classes
        if missing := sorted(set(PREPROCESSING) - preprocessing.keys()):
            lacks = ", ".join(missing)
            raise ValueError(f"preprocessing must hold size, resize_short, mean and std, but lacks {lacks}")
        if preprocessing["size"] != image_px:
            raise ValueError(f"preprocessing must give images of {image_px} px, not {preprocessing['size']}")
        if len(classes) != num_classes:
            raise ValueError(f"classes must name the network's {num_classes} classes, got {len(classes)} names")
        check_knob(self.knob)


class Written(NamedTuple):
    """The graphs of an export by role, and what the manifest states beside them."""

    graphs: dict[str, Graph]
    details: Mapping[str, JSON] = {}


def write_export(
    network: N,
    folder: str | Path,
    details: Mapping[str, JSON],
    *,
    system: str,
    write: Callable[[N, Path], Written],
    check: Callable[[N, Path], float],
    others: Collection[str] = (),
    unit: str = "",
) -> Path:
    """Writes graphs and manifest in single precision and checks them; ``network`` is not changed.

    The folder appears when all is written and checked. An earlier export in its place is replaced.

    Args:
        network: On any device, in any mode.
        folder: Where to write.
        details: What the manifest states; ``write`` may add to it.
        system: Which system's runner reads it.
        write: Writes the graphs of a copy of the network, on the CPU and in evaluation mode, into a folder.
        check: Returns the worst difference between that copy and what was written into the folder, by running both;
            raises `ExportError`, whose message names the output, if it is above a tolerance.
        others: Names of files and folders that exports of this system hold beside graphs and manifest.
        unit: Unit of that difference, for the log; empty for the outputs' own.

    Returns:
        The folder.

    Raises:
        MissingExtraError: If the packages for ONNX are not installed.
        ExportError: If the network cannot be exported, its export answers differently, or the folder holds other files.
    """
    plain = copy.deepcopy(network).to("cpu", torch.float32).eval()
    with replaced_folder(folder, others=others) as new:
        written = write(plain, new)
        write_manifest(new, system=system, graphs=written.graphs, details={**details, **written.details})
        worst = check(plain, new)
    logger.info("exported to %s; worst difference from PyTorch %.1e%s", folder, worst, f" {unit}" if unit else "")
    return Path(folder)


@contextmanager
def export_to_time(
    export: Callable[[Path, Stated], Path], *, image_px: int, num_classes: int, knob: float = 0.0
) -> Iterator[Path | None]:
    """Exports the network of a benchmark into a folder that is there as long as the context is.

    Args:
        export: Writes the network into a folder.
        image_px: Side of its images.
        num_classes: Its classes.
        knob: The knob that is stated.

    Yields:
        The folder, alone in a temporary one; None, which is logged, where the packages for ONNX are not installed.
    """
    if not all(importlib.util.find_spec(module) for module in ("onnx", "onnxscript", "onnxruntime")):
        logger.warning("the deployed form is not timed: %s", install_hint("export"))
        yield None
        return
    stated = Stated(asdict(Preprocessing(image_px, image_px)), [str(number) for number in range(num_classes)], knob)
    with tempfile.TemporaryDirectory() as folder:
        yield export(Path(folder, "export"), stated)


def compare_answers(
    answers: Callable[[Tensor], tuple[Outputs, Outputs]], image_px: int, tolerance: float = 1e-4
) -> float:
    """Returns the worst difference between a network and its export, at batch sizes 1 and 5.

    Args:
        answers: From images to the outputs of both, by name.
        image_px: Side of the images.
        tolerance: The largest difference allowed.

    Raises:
        ExportError: If it is exceeded; the message names the output.
    """
    samples = sample_images(image_px)
    return max(check_parity(*answers(batch), tolerance) for batch in (samples[:1], samples[1:]))


def excuse_routes(policy: ExitRule, scores: Tensor, routes: Tensor, knob: float, tolerance: float) -> Tensor:
    """Returns the routes that a run may have taken: its own where its scores, up to a tolerance, may lead to them.

    Args:
        policy: Decides exit by exit.
        scores: Shape (B, E), of the export.
        routes: Shape (B,), that its run took.
        knob: Of the run.
        tolerance: By how much each score may be off.

    Returns:
        Shape (B,): ``routes`` where that is so, elsewhere the decision on ``scores``.
    """
    exits, nearby = range(scores.shape[1]), (scores - tolerance, scores, scores + tolerance)
    leaves = torch.stack([torch.stack([policy.leaves(k, near[:, k], knob) for k in exits], dim=1) for near in nearby])
    must = leaves.all(dim=0).int()
    may_get_there = must.cumsum(dim=1) == must  # it had to leave nowhere before
    allowed = (leaves.any(dim=0) & may_get_there).gather(1, routes[:, None])[:, 0]
    return torch.where(allowed, routes, policy.decide(scores, knob))
