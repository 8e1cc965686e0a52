"""Makes a detector that zooms in of what was trained, and of a user's own detectors where those were given."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from modicum.detect.detectors.class_names import RelabelledDetector
from modicum.detect.detectors.opening import open_detector
from modicum.detect.detectors.protocol import Detector, require_true_pixels
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.zoom.inference import ZoomDetector
from modicum.detect.zoom.network import Role, ZoomNetwork
from modicum.detect.zoom.notes import read_own
from modicum.detect.zoom.planners import DensityPlanner, Layout, Planner, SlidingWindows, SpacedWindows, ValuePlanner
from modicum.detect.zoom.policies import RungPolicy
from modicum.detect.zoom.qnet import FcQnet, values_of
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.storage.errors import WeightsError
from modicum.storage.runs import RunFolder


def limits_of(recipe: ZoomRecipe) -> DetectionLimits:
    """Returns what detectors report."""
    is_seen = recipe.rnet.form == "features"
    return DetectionLimits(recipe.min_score, recipe.max_detections, features=is_seen)


def open_zoom(run: RunFolder, recipe: ZoomRecipe, network: ZoomNetwork) -> ZoomDetector:
    """Returns the detector that a finished run stands for, with the user's own detector where it was fitted to one.

    Raises:
        WeightsError: If that detector is gone, has changed, or does not fit.
    """
    noted = read_own(run.weights)
    if noted is None:
        return assemble(network, limits_of(recipe))
    name, digest = noted
    if own_digest(name) != digest:
        raise WeightsError(
            f"{name} is not the detector that {run.path} was fitted to, or is gone: put it back, or train anew"
        )
    own = RelabelledDetector(open_own(name, limits_of(recipe)), network.classes)
    return assemble(network, limits_of(recipe), own=own)


def assemble(network: ZoomNetwork, limits: DetectionLimits, *, own: Detector | None = None) -> ZoomDetector:
    """Returns the detector that a trained network stands for; it shares the network's weights.

    Args:
        network: In evaluation mode.
        limits: What detectors report.
        own: The user's detector that R-net was fitted to; needed where the network holds none.

    Raises:
        ValueError: If the network holds no detector and ``own`` is None.
    """
    return ZoomDetector(
        coarse=_detector(network, "coarse", limits, own),
        fine=_detector(network, "fine", replace(limits, features=False), own),
        scale=network.scale,
        gains=network.rnet,
        planner=planner_of(network),
        coarse_scores=network.score_map("coarse"),
        fine_scores=network.score_map("fine"),
    )


def layout_of(network: ZoomNetwork) -> Layout:
    """Returns where the windows may be that a network chooses from."""
    return SpacedWindows() if isinstance(network.qnet, FcQnet) else SlidingWindows(network.window_sizes)


def planner_of(network: ZoomNetwork) -> Planner:
    """Returns what chooses windows: by gain per pixel, or by the Q-net."""
    if network.qnet is None:
        return DensityPlanner(layout_of(network))
    price_at = RungPolicy(network.prices, network.used).price_at if network.prices else float
    return ValuePlanner(partial(values_of, network.qnet), layout_of(network), price_at)


def open_own(detector: str, limits: DetectionLimits) -> Detector:
    """Opens a user's detector for both passes, with its own classes.

    Raises:
        WeightsError: If it cannot be had, or squeezes all images to one size.
    """
    found = open_detector(detector, limits=limits)
    try:
        require_true_pixels(found)
    except ValueError as error:
        raise WeightsError(f"detector: {detector}: {error}") from error
    return found


def own_digest(detector: str) -> str | None:
    """Returns a digest of the files of a user's detector; None where a model of torchvision is named."""
    file = Path(detector).expanduser()
    parts = [each.read_bytes() for each in (file, file.with_suffix(".json")) if each.is_file()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest() if parts else None


def _detector(network: ZoomNetwork, role: Role, limits: DetectionLimits, own: Detector | None) -> Detector:
    light = network.detector_of(role)
    if light is not None:
        return TorchvisionDetector(light.fcos, light.classes, limits=limits)
    if own is None:
        raise ValueError("this network holds no detector: give the one that it was fitted to")
    return own
