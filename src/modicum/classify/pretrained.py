"""Starts backbones from pretrained weights, and prepares images as those weights want them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from modicum.classify.backbones import SMALL, create_backbone
from modicum.classify.recipe import ImageOptions
from modicum.nn.pretrained import (
    HeadFate,
    ImageFormat,
    PretrainedWeights,
    fill_network,
    fit_state,
    judge_head,
    read_pretrained,
    tell_contradictions,
)
from modicum.nn.weight_names import PUBLISHED
from modicum.storage.errors import RecipeError
from modicum.storage.files import JSON
from modicum.storage.runs import START_NOTE


@dataclass(frozen=True)
class Start:
    """Holds the name of a backbone and what its training starts from.

    Attributes:
        backbone: Its name for `create_backbone`.
        weights: Its weights; None starts from random ones.
    """

    backbone: str
    weights: PretrainedWeights | None = None

    def create(self, num_classes: int) -> nn.Module:
        """Builds the backbone and fills it; a head that does not fit ``num_classes`` stays untrained.

        Raises:
            RecipeError: If the backbone is unknown.
            WeightsError: If the weights do not fit it.
        """
        network = create_backbone(self.backbone, num_classes)
        if self.weights is not None:
            fill_network(network, self.weights)
        return network

    def head(self, num_classes: int) -> HeadFate | None:
        """Tells what becomes of the head of the weights; None without weights."""
        if self.weights is None:
            return None
        with torch.device("meta"):
            network = create_backbone(self.backbone, num_classes)
        return judge_head(network, self.weights)

    def is_trained(self, num_classes: int) -> bool:
        """Tells whether the backbone classifies before any training, because the head of its weights is kept."""
        head = self.head(num_classes)
        return head is not None and head.kept

    def facts(self, num_classes: int) -> dict[str, JSON]:
        """Returns what a run remembers of the weights: source, digest, images, and what became of the head."""
        return {**self.weights.facts(), "head": str(self.head(num_classes))} if self.weights else {}


def start_note(starts: Sequence[Start], num_classes: int) -> dict[str, JSON]:
    """Returns what a run remembers of the weights that its backbones started from, for its notes; empty without any."""
    facts = {start.backbone: start.facts(num_classes) for start in starts if start.weights}
    return {START_NOTE: facts} if facts else {}


def read_start(backbone: str, weights: str | None) -> Start:
    """Reads the weights that a backbone starts from; refuses, before other work, what cannot be had.

    Args:
        backbone: Name for `create_backbone`.
        weights: See `read_pretrained`; None for random ones. CIFAR ResNets take files in the usual layout.

    Raises:
        RecipeError: If the backbone or the weights are unknown, or there are none of that name.
        WeightsError: If the file cannot be read or does not fit, or published weights cannot be fetched.
        MissingExtraError: If the package that holds them is not installed.
    """
    if weights is None:
        return Start(backbone)
    if weights == PUBLISHED and backbone in SMALL:
        raise RecipeError(f"weights: there are no published weights of {backbone}; leave weights out, or give a file")
    with torch.device("meta"):
        network = create_backbone(backbone, 2)
    found = read_pretrained(weights, backbone)
    found = replace(found, state=usual_names(found.state)) if backbone in SMALL else found
    fit_state(network, found)
    return Start(backbone, found)


def usual_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a CIFAR ResNet in the usual layout to those of `SmallResNet`; other names stay."""
    return {our_name(name): value for name, value in state.items()}


def our_name(name: str) -> str:
    """Renames ``layer2.0.conv1.weight`` to ``layers.1.0.conv1.weight``; other names stay."""
    stage, _, rest = name.partition(".")
    number = stage.removeprefix("layer")
    return f"layers.{int(number) - 1}.{rest}" if stage.startswith("layer") and number.isdecimal() else name


def with_format_of(starts: Sequence[Start], options: ImageOptions, image_px: int) -> ImageOptions:
    """Fills in, from the weights that a training starts from, how images are normalised and resized.

    What the options state is kept; a contradiction to the weights is logged as a warning.

    Args:
        starts: The backbones of a run.
        options: Images, as the recipe has them.
        image_px: Side of the images that the networks get.

    Raises:
        RecipeError: If backbones want different images and the options do not say which.
    """
    formats = {start.backbone: start.weights.images for start in starts if start.weights and start.weights.images}
    for start in starts:
        if start.weights is not None:
            stated = {name: getattr(options, name) for name in ("mean", "std", "interpolation")}
            tell_contradictions(start.weights, **stated)
    if not formats:
        return options
    first, *others = formats.items()
    for backbone, wanted in others:
        _refuse_other_format(first, (backbone, wanted), options)
    wanted = first[1]
    return replace(
        options,
        mean=options.mean or wanted.mean,
        std=options.std or wanted.std,
        interpolation=options.interpolation or wanted.interpolation,
        resize_short=options.resize_short or round(image_px * wanted.short_px / wanted.size_px),
    )


def _refuse_other_format(first: tuple[str, ImageFormat], other: tuple[str, ImageFormat], options: ImageOptions) -> None:
    for name in ("mean", "std", "interpolation"):
        one, two = getattr(first[1], name), getattr(other[1], name)
        if one != two and getattr(options, name) is None:
            raise RecipeError(
                f"images.{name} must be stated: the weights of {first[0]} were trained with {one}, those of {other[0]} "
                f"with {two}"
            )
