"""Classifies an image with a cheap network first and, where that is not sure, with more expensive ones, unchanged.

    images -> as the first network wants them  -> its logits > sure? answer
           -> as the second network wants them -> its logits > answer

The members are whole networks of one task from anywhere: published, trained by modicum, or ONNX files. Each sees the
image as it was trained to: the cascade gets it once, as large as the most demanding member needs, and each member takes
its part of it, at its size, with its mean and deviation. After X. Wang et al., *Wisdom of Committees*, ICLR 2022.
"""

# n images of a batch, M steps, K classes, S side of the images in pixels
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from modicum.adaptive.cascades import blank_thresholds
from modicum.adaptive.costs import MenuCosts
from modicum.classify.backbones import create_backbone
from modicum.classify.cascade.network import TrunkCascade, build_step
from modicum.classify.cascade.onnx_member import OnnxNetwork
from modicum.classify.classifier_builders import classifier_builder
from modicum.classify.confidence_names import ConfidenceName
from modicum.classify.exiting import ExitingClassifier
from modicum.nn.pretrained import ImageFormat, Interpolation
from modicum.nn.resizing import Kernel, Resize

RESIZES: Mapping[Interpolation, Kernel] = {"bilinear": "antialiased", "bicubic": "bicubic"}
"""Kernel that shows a member images of its size, by the interpolation that it was trained with."""


@dataclass(frozen=True)
class Member:
    """Describes one network of a cascade.

    Attributes:
        name: Name in reports.
        macs: Its multiply-adds per image.
        images: The images that it was trained on.
        build: Data that rebuild it, see `rebuild_member`.
    """

    name: str
    macs: float
    images: ImageFormat
    build: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns plain data, from which `of_json` makes an equal member."""
        return {"name": self.name, "macs": self.macs, "images": self.images.to_json(), "build": dict(self.build)}

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> "Member":
        """Returns the member that `to_json` described."""
        return cls(raw["name"], raw["macs"], ImageFormat.of_json(raw["images"]), raw["build"])


class MemberCascade(ExitingClassifier):
    """Runs whole networks on images (B, 3, S, S), normalised as `images` says, until one is sure.

    Args:
        members: The networks, in the order in which they run, as `Member.to_json` tells them.
        plain: The most expensive of all candidates, which answers every image by itself; None is the last member.
        dropped: Candidates that are no members, as pairs of name and multiply-adds.
        num_classes: Classes K.
        images: Images that the cascade gets, as `ImageFormat.to_json` gives them.
        average: As of `ExitingClassifier`.
        confidence: As of `ExitingClassifier`.
        rows: Rows of the thresholds.
        networks: Networks of the members, then that of ``plain`` if it is given; not copied. None builds them, with
            random weights.
    """

    storage_name = "cascade"

    def __init__(
        self,
        members: Sequence[Mapping[str, Any]],
        *,
        num_classes: int,
        images: Mapping[str, Any],
        plain: Mapping[str, Any] | None = None,
        dropped: Sequence[Sequence[Any]] = (),
        average: bool = True,
        confidence: ConfidenceName = "margin",
        rows: int = 1,
        networks: Sequence[nn.Module] | None = None,
    ) -> None:
        self.members, self.images = tuple(map(Member.of_json, members)), ImageFormat.of_json(images)
        self.num_classes = num_classes
        self.dropped = tuple((str(name), float(macs)) for name, macs in dropped)
        others = [] if plain is None else [Member.of_json(plain)]
        config = {
            "members": [member.to_json() for member in self.members],
            "num_classes": num_classes,
            "images": self.images.to_json(),
            "plain": None if plain is None else others[0].to_json(),
            "dropped": [list(each) for each in self.dropped],
            "average": average,
            "confidence": confidence,
        }
        steps = len(self.members)
        super().__init__(self.images.size_px, steps, average=average, confidence=confidence, config=config)
        every = (*self.members, *others)
        parts = networks or [rebuild_member(member.build, num_classes) for member in every]
        self.networks = nn.ModuleList(
            nn.Sequential(View(self.images, member.images), part) for member, part in zip(every, parts, strict=True)
        )
        # ONNX files have no parameters, and device and precision of a network are read off one.
        self.anchor = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.sizes_px = tuple(member.images.size_px for member in self.members)
        self.policy = blank_thresholds(rows, steps)
        names, costs = [member.name for member in self.members], [member.macs for member in self.members]
        routes = tuple(accumulate(names, "{} + {}".format))  # each names all members that run
        self.costs = MenuCosts(routes, tuple(accumulate(costs)), alone=every[-1].macs)

    def step(self, index: int, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401  images
        """Runs one member on images (n, 3, S, S)."""
        return self.networks[index](state), state

    def plain_network(self) -> nn.Module:
        """Returns a copy of the most expensive candidate."""
        return copy.deepcopy(self.networks[-1])


def build_alone(network: ExitingClassifier, name: str) -> nn.Module | None:
    """Returns the size and exit, or the member, called ``name``, by itself, to be timed; None if there is none."""
    if isinstance(network, TrunkCascade):
        return build_step(network, name)
    assert isinstance(network, MemberCascade)
    names = [member.name for member in network.members]
    return copy.deepcopy(network.networks[names.index(name)]) if name in names else None


class View(nn.Module):
    """Prepares the images of a cascade as a member was trained on them: crop, size and normalisation.

    Args:
        given: The images (n, 3, S, S) that there are.
        wanted: The images that the member was trained on.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, given: ImageFormat, wanted: ImageFormat) -> None:
        super().__init__()
        # Pixels of the given picture that the member's centre crop covers.
        whole = given.short_px * wanted.size_px / wanted.short_px
        self.part = min(given.size_px, max(1, round(whole)))
        self.edge = (given.size_px - self.part) // 2
        self.resize: nn.Module = Resize(wanted.size_px, RESIZES[wanted.interpolation])
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1) for values in (given.mean, given.std, wanted.mean, wanted.std)
        )
        self.is_normalised = given.mean == wanted.mean and given.std == wanted.std
        self.register_buffer("scale", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (n, 3, size, size)."""
        images = self.resize(images[..., self.edge : self.edge + self.part, self.edge : self.edge + self.part])
        return images if self.is_normalised else images * self.scale + self.shift


def common_format(formats: Sequence[ImageFormat]) -> ImageFormat:
    """Returns the images from which every member's can be made: the widest view, as large as the finest needs.

    Normalisation and interpolation are those of the member that needs the most pixels.
    """
    view = min(each.short_px / each.size_px for each in formats)
    most = max(formats, key=lambda each: each.short_px)
    size = round(most.short_px / view)
    return ImageFormat(most.mean, most.std, size, max(size, round(size * view)), most.interpolation)


def rebuild_member(build: Mapping[str, Any], num_classes: int) -> nn.Module:
    """Builds a member's network with random weights, to be loaded.

    Args:
        build: Its ``kind``: "network" with ``library`` and ``network``, its name; "run" with ``network``, the name of
            one of this wing, and its ``config``, whose plain network it is; or "onnx" with the arguments of
            `OnnxNetwork`.
        num_classes: Classes K, of a named network.

    Raises:
        ValueError: If the kind is none of these.
        RecipeError: If the network is unknown.
        WeightsError: If it is no classifier of this wing.
    """
    rest = {name: value for name, value in build.items() if name != "kind"}
    if build["kind"] == "network":
        return create_member(rest["library"], rest["network"], num_classes).eval()
    if build["kind"] == "run":
        plain: nn.Module = classifier_builder(rest["network"])(**rest["config"]).plain_network()
        return plain.eval()
    if build["kind"] == "onnx":
        return OnnxNetwork(**rest).eval()
    raise ValueError(f"a member is a network, a run or onnx, got {build['kind']!r}")


def create_member(library: str | None, name: str, num_classes: int) -> nn.Module:
    """Builds an untrained classifier by its name in a library, or by that of `create_backbone` where none is named.

    Raises:
        RecipeError: If the network is unknown.
    """
    if library == "timm" and timm.is_model(name):
        network: nn.Module = timm.create_model(name, num_classes=num_classes)
        return network
    if library == "torchvision" and name in torchvision.models.list_models(torchvision.models):
        other: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        return other
    return create_backbone(name, num_classes)


def rebuild_cascade(**config: Any) -> ExitingClassifier:  # noqa: ANN401  of either kind
    """Rebuilds a cascade of either kind from its ``storage_config``: of members, or of sizes and exits."""
    return MemberCascade(**config) if "members" in config else TrunkCascade(**config)
