"""Finds the networks that a user names as members of a cascade, with their images and classes."""

# K classes
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modicum.classify.backbones import SMALL
from modicum.classify.cascade.member_names import MemberName, parse_member
from modicum.classify.cascade.members import Member, create_member
from modicum.classify.cascade.onnx_member import OnnxNetwork, example_input, input_side, read_onnx
from modicum.classify.classifier_builders import PLACES, classifier_builder
from modicum.classify.notes import read_classes, read_preprocessing
from modicum.classify.pretrained import usual_names
from modicum.classify.recipe import ImageOptions
from modicum.classify.static.network import StaticFamily
from modicum.datasets.contents import SAMPLES
from modicum.datasets.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from modicum.datasets.splits import Splits
from modicum.measuring.counting import count_network_macs
from modicum.measuring.onnx_counting import count_onnx_macs
from modicum.nn.pretrained import ImageFormat, fill_network, judge_head, read_pretrained
from modicum.storage.errors import RecipeError, RunError, WeightsError, first_few
from modicum.storage.files import read_json_object
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed
from modicum.storage.weights import load_network

log = logging.getLogger(__name__)

_STATED = ("size", "resize_short", "mean", "std", "interpolation", "classes")


@dataclass(frozen=True)
class Found:
    """A network that may become a member.

    Attributes:
        member: Description that rebuilds and prices it.
        network: It, with its weights, in evaluation mode, on the CPU.
        num_classes: Number of its classes K.
        source: Name that the user gave it.
        classes: Names of the classes; None where they are not known.
        run: The run that trained it; None if it is from elsewhere.
    """

    member: Member
    network: nn.Module
    num_classes: int
    source: str
    classes: tuple[str, ...] | None = None
    run: RunFolder | None = None

    def check_classes(self, classes: Sequence[str], origin: str) -> None:
        """Refuses a network of other classes than the data's, or of the same ones in another order.

        Raises:
            RecipeError: If they differ; the message names classes.
        """
        told = f"members: {self.source} has"
        if self.classes is None:
            if self.num_classes != len(classes):
                raise RecipeError(
                    f"{told} {self.num_classes} classes, but {origin} has {len(classes)} ({first_few(classes)}): "
                    "name networks of these classes; to fit a pretrained network to them, leave members out"
                )
            return
        if self.classes == tuple(classes):
            return
        only_here = [name for name in self.classes if name not in classes]
        only_there = [name for name in classes if name not in self.classes]
        if only_here or only_there:
            sides = ((first_few(only_here), "unknown to the data"), (first_few(only_there), "only in the data"))
            differing = "; ".join(f"{names} {where}" for names, where in sides if names)
            raise RecipeError(f"{told} other classes than {origin}: {differing}; name networks of the same classes")
        place = next(index for index, name in enumerate(classes) if name != self.classes[index])
        raise RecipeError(
            f"{told} the classes of {origin} in another order: class {place} is {self.classes[place]!r} there, "
            f"{classes[place]!r} in the data"
        )

    def trained_on(self) -> frozenset[str]:
        """Returns the digests of the images that it was trained on, as far as its run tells; empty otherwise.

        Raises:
            DataError: If the run's record of its images is damaged.
        """
        if self.run is None or not self.run.splits.is_file() or not self.run.content.is_file():
            return frozenset()
        kept = read_sealed(self.run.content, remedy="put a copy back, or leave this member out")[SAMPLES] or {}
        return frozenset(kept[name] for name in Splits.load(self.run.splits).train if name in kept)


def find_members(names: Sequence[str], options: ImageOptions, image_px: int) -> list[Found]:
    """Finds all networks, cheapest first, each with a name of its own; of a static run, all its members.

    Args:
        names: As the recipe has them.
        options: Mean, deviation and interpolation of members that state none.
        image_px: Side of the images of members that state none.

    Raises:
        RecipeError: If a network is unknown, or has no published weights.
        WeightsError: If a file or run cannot be read, or is no classifier.
        MissingExtraError: If a package is missing that a member needs.
    """
    stated = ImageFormat(
        options.mean or IMAGENET_MEAN,
        options.std or IMAGENET_STD,
        image_px,
        max(image_px, options.resize_short or image_px),
        options.interpolation or "bilinear",
    )
    parsed = map(parse_member, names)
    found = list(chain.from_iterable(_find(name, stated) for name in parsed))
    found.sort(key=lambda each: each.member.macs)
    labels = [each.member.name for each in found]
    return [
        replace(each, member=replace(each.member, name=each.source)) if labels.count(each.member.name) > 1 else each
        for each in found
    ]


def _find(name: MemberName, stated: ImageFormat) -> Iterator[Found]:
    if name.kind == "run":
        yield from _find_run(name, stated)
    elif name.kind == "onnx":
        yield _find_onnx(name, stated)
    else:
        yield _find_network(name, stated)


def _find_network(name: MemberName, stated: ImageFormat) -> Found:
    assert name.weights is not None
    with torch.device("meta"):
        blank = create_member(name.library, name.place, 2)  # an unknown name is refused before files are read
    weights = read_pretrained(name.weights, name.place, library=name.library)
    if name.library is None and name.place in SMALL:
        weights = replace(weights, state=usual_names(weights.state))
    head = judge_head(blank, weights)
    num_classes = head.classes if head.kept else head.classes_of_weights
    if not num_classes:
        raise WeightsError(f"members: {name.text}: {weights.source} has no head, so it classifies nothing")
    network = create_member(name.library, name.place, num_classes)
    fill_network(network, weights)
    images, classes = _sized(*_stated_beside(name.weights, weights.images or stated), name.size_px)
    build = {"kind": "network", "library": name.library, "network": name.place}
    return _priced(name, network, images, build, num_classes, classes)


def _find_onnx(name: MemberName, stated: ImageFormat) -> Found:
    network = read_onnx(Path(name.place))
    own, side = _stated_beside(name.place, stated), input_side(network)
    if side is not None:
        if name.size_px not in (None, side):
            raise RecipeError(f"members: {name.text}: the graph was exported for images of {side} px alone")
        own = _sized(own[0], own[1], side)
    images, classes = _sized(*own, name.size_px)
    pixels = example_input(network, images.size_px)
    with torch.inference_mode():
        num_classes = network(torch.zeros(1, 3, images.size_px, images.size_px)).shape[1]
    macs = float(count_onnx_macs(network.file_content(), pixels))
    size, graded = len(network.content), network.gives_probabilities
    build = {"kind": "onnx", "num_bytes": size, "gives_probabilities": graded}
    return Found(Member(name.label, macs, images, build), network, num_classes, name.text, classes)


def _find_run(name: MemberName, stated: ImageFormat) -> Iterator[Found]:
    run = RunFolder.open(name.place)
    system = run.read_state().system
    if system not in PLACES:
        raise RunError(f"members: {name.place} is a run of {system}, which does not classify images")
    loaded = load_network(run.path, {system: classifier_builder(system)})
    classes, kept = tuple(read_classes(run.weights)), read_preprocessing(run.weights)
    own = stated if kept is None else ImageFormat(kept.mean, kept.std, kept.size, kept.resize_short, kept.interpolation)
    images, _ = _sized(own, classes, name.size_px)
    if isinstance(loaded, StaticFamily):
        for own_name, network in zip(loaded.names, loaded.networks, strict=True):
            build = {"kind": "network", "library": None, "network": own_name}
            found = _priced(name, network, images, build, len(classes), classes)
            named = replace(found.member, name=f"{name.label}: {own_name}")
            yield replace(found, member=named, source=f"{name.text} ({own_name})", run=run)
        return
    whole: dict[str, Any] = {"kind": "run", "network": system, "config": read_header(run.weights).config}
    yield replace(_priced(name, loaded.plain_network(), images, whole, len(classes), classes), run=run)


def _priced(
    name: MemberName,
    network: nn.Module,
    images: ImageFormat,
    build: Mapping[str, Any],
    num_classes: int,
    classes: tuple[str, ...] | None,
) -> Found:
    macs = _count(network, images.size_px, name.text)
    return Found(Member(name.label, macs, images, build), network.eval(), num_classes, name.text, classes)


def _count(network: nn.Module, size_px: int, text: str) -> float:
    if any(isinstance(part, OnnxNetwork) for part in network.modules()):
        raise RecipeError(
            f"members: {text} holds an ONNX file, whose cost in it cannot be counted: name the file itself"
        )
    try:
        return float(count_network_macs(network, (1, 3, size_px, size_px)))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:  # what networks raise on a size
        raise RecipeError(f"members: {text} cannot run images of {size_px} px: {error}") from error


def _sized(
    images: ImageFormat, classes: tuple[str, ...] | None, size_px: int | None
) -> tuple[ImageFormat, tuple[str, ...] | None]:
    """Returns the format for another size, seeing the same part of a picture."""
    if size_px is None or size_px == images.size_px:
        return images, classes
    short = max(size_px, round(size_px * images.short_px / images.size_px))
    return replace(images, size_px=size_px, short_px=short), classes


def _stated_beside(file: str, otherwise: ImageFormat) -> tuple[ImageFormat, tuple[str, ...] | None]:
    """Reads the JSON file of the same name beside a file of weights, which may state images and names of classes.

    Raises:
        WeightsError: If it states something else.
    """
    beside = Path(file).with_suffix(".json")
    if not Path(file).is_file() or not beside.is_file():
        return otherwise, None
    stated = read_json_object(beside)
    if unknown := sorted(set(stated) - set(_STATED)):
        raise WeightsError(f"{beside} states {first_few(unknown)}; it may state {', '.join(_STATED)}")
    size = stated.get("size", otherwise.size_px)
    short = stated.get("resize_short", round(size * otherwise.short_px / otherwise.size_px))
    try:
        mean, std, kind = (stated.get(key, getattr(otherwise, key)) for key in ("mean", "std", "interpolation"))
        images = ImageFormat.of(mean, std, size, max(int(size), int(short)), kind)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{beside} states a size, mean or std that cannot be used: {error}") from error
    classes = stated.get("classes")
    return images, None if classes is None else tuple(map(str, classes))
