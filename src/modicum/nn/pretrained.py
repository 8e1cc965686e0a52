"""Pretrained weights by name or file, with the preprocessing that they need, and the filling of networks with them."""

# C channels, K classes
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn

from modicum.nn.efficientnet_lite import has_package_names, lite_file, refuse_symmetric_twin, timm_names
from modicum.nn.published import require_timm_weights, require_torchvision_weights, timm_file
from modicum.nn.weight_names import LITE_NETWORKS, PUBLISHED, architecture, check_weights
from modicum.storage.errors import RecipeError, WeightsError
from modicum.storage.states import read_state

log = logging.getLogger(__name__)

Library = Literal["torchvision", "timm"]
Interpolation = Literal["bilinear", "bicubic"]

_MAX_NAMED = 3  # tensors named per kind of misfit; the rest is counted
_PREFIX = "module."  # what torch's DataParallel puts before every name


@dataclass(frozen=True)
class ImageFormat:
    """Describes the images that weights were trained on.

    Attributes:
        mean: Mean per channel, in units of the full range [0, 1].
        std: Standard deviation per channel, in the same units.
        size_px: Side of the square that the network got, px.
        short_px: Short side that a picture was resized to before the centre crop of ``size_px``, px.
        interpolation: Interpolation with which pictures were resized.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size_px: int
    short_px: int
    interpolation: Interpolation

    @classmethod
    def of(
        cls, mean: Sequence[float], std: Sequence[float], size_px: float, short_px: float, interpolation: object
    ) -> "ImageFormat":
        """Makes a format of plain data; any interpolation but "bicubic" counts as "bilinear".

        Raises:
            ValueError: If mean or deviation are not three numbers, or a size is none.
        """
        red, green, blue = map(float, mean)
        first, second, third = map(float, std)
        kind: Interpolation = "bicubic" if interpolation == "bicubic" else "bilinear"
        return cls((red, green, blue), (first, second, third), int(size_px), int(short_px), kind)

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> "ImageFormat":
        """Returns the format that `to_json` described."""
        return cls.of(**raw)

    def to_json(self) -> dict[str, Any]:
        """Returns plain data, from which `of_json` makes an equal format."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class PretrainedWeights:
    """Holds the weights of one network and where they come from.

    Attributes:
        network: Name of the network.
        state: Its tensors by name, on the CPU.
        source: Origin, for readers: a path, or name and library.
        digest: SHA-256 of the tensors with their names, the same whatever file holds them.
        images: The images that they were trained on; None if neither weights nor network say.
    """

    network: str
    state: Mapping[str, Tensor]
    source: str
    digest: str
    images: ImageFormat | None

    def facts(self) -> dict[str, Any]:
        """Returns all but the tensors as plain JSON data."""
        images = self.images and self.images.to_json()
        return {"network": self.network, "source": self.source, "digest": self.digest, "images": images}


@dataclass(frozen=True)
class HeadFate:
    """Tells what became of the last layer of a network that was filled.

    Attributes:
        kept: Whether the head of the weights is the network's now; otherwise the network's own, untrained one stays.
        classes_of_weights: Outputs of the head of the weights; 0 if they have none.
        classes: Outputs K of the network's head.
    """

    kept: bool
    classes_of_weights: int
    classes: int

    def __str__(self) -> str:
        if self.kept:
            return f"head kept, {self.classes} classes"
        if not self.classes:
            return "no head"
        given = f"the weights have {self.classes_of_weights}" if self.classes_of_weights else "the weights have no head"
        return f"new head for {self.classes} classes, {given}"


def library_of(network: str) -> Library | None:
    """Returns the library that has a network of this name, torchvision before timm; None if neither has."""
    if network in torchvision.models.list_models(torchvision.models):
        return "torchvision"
    return "timm" if timm.is_model(network) else None


def read_pretrained(weights: str, network: str, *, library: Library | None = None) -> PretrainedWeights:
    """Reads weights for a network by their name, ready for `fill_network`.

    A missing file is refused within seconds, before anything is fetched.

    Args:
        weights: A ``.safetensors`` file, a ``.pth`` or ``.pt`` file with a plain state dict, ``"lite0"`` to ``"lite2"``
            (the packages of the extra ``pretrained``), or ``"published"``.
        network: Name of the network, e.g. ``"tf_efficientnet_lite0"``, ``"resnet50"``. One that neither torchvision nor
            timm knows takes files only.
        library: Library of the network; None looks in torchvision, then in timm.

    Raises:
        RecipeError: If ``weights`` names nothing, weights of another network, or published ones that do not exist.
        WeightsError: If a file is missing, damaged or of another network, or published weights cannot be fetched.
        MissingExtraError: If the package that holds them is not installed.
    """
    check_weights(weights, network)
    library = library or library_of(network)
    if weights == PUBLISHED:
        state, source = _fetch(network, library), f"published by {library}"
    else:
        file = lite_file(weights) if weights in LITE_NETWORKS else Path(weights)
        state = _without_prefix(read_state(file))
        source = f"{weights}, {file.name}" if weights in LITE_NETWORKS else weights
        if has_package_names(state):
            state = timm_names(state, architecture(network), source)
        refuse_symmetric_twin(state, architecture(network), source)
    return PretrainedWeights(network, state, source, digest_of(state), image_format(network, library))


def image_format(network: str, library: Library | None) -> ImageFormat | None:
    """Returns the images that a library's weights of a network were trained on; None if it has no such weights."""
    if library == "torchvision":
        default = torchvision.models.get_model_weights(network)["DEFAULT"].transforms()
        size, short = default.crop_size[0], default.resize_size[0]
        return ImageFormat.of(default.mean, default.std, size, max(size, short), default.interpolation.value)
    cfg = timm.get_pretrained_cfg(network) if library == "timm" else None
    if cfg is None or not cfg.has_weights:
        return None
    size = cfg.input_size[-1]
    return ImageFormat.of(cfg.mean, cfg.std, size, round(size / cfg.crop_pct), cfg.interpolation)


def fill_network(network: nn.Module, weights: PretrainedWeights) -> HeadFate:
    """Fills a network with all tensors of ``weights``; the head is kept if it has as many classes.

    Otherwise a linear head starts at zero: random logits have to be unlearnt, and timm draws those of EfficientNets so
    large that a few hundred images do not suffice. Nothing of ``network`` changes unless everything fits. Counters of
    batches, which evaluation does not need, may be missing, and so may the head.

    Args:
        network: A plain classifier, or a backbone whose head was removed.
        weights: Of a network of this architecture.

    Returns:
        Whether the head of the weights was kept.

    Raises:
        WeightsError: If a tensor is missing, unknown, or of another shape, apart from the head.
    """
    state, fate = fit_state(network, weights)
    network.load_state_dict(state)
    return fate


def fit_state(network: nn.Module, weights: PretrainedWeights) -> tuple[dict[str, Tensor], HeadFate]:
    """Returns the state that `fill_network` would load; changes nothing, so that ``network`` may be on ``meta``.

    Raises:
        WeightsError: As `fill_network`.
    """
    fate, expected, places = judge_head(network, weights), network.state_dict(), _places(network)
    state = {name: value for name, value in weights.state.items() if fate.kept or not name.startswith(places)}
    own = {} if fate.kept else _first_head(network, places)
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    state = counters | state | own
    refuse_misfits(state, expected, weights)
    return state, fate


def judge_head(network: nn.Module, weights: PretrainedWeights) -> HeadFate:
    """Tells what `fill_network` would do with the head; changes nothing, so that ``network`` may be on ``meta``."""
    places = _places(network)
    own, given = _under(network.state_dict(), places), _under(weights.state, places)
    kept = bool(own) and all(name in given and given[name].shape == value.shape for name, value in own.items())
    return HeadFate(kept, _outputs(given), _outputs(own))


def tell_contradictions(weights: PretrainedWeights, **stated: object) -> None:
    """Logs a warning for each of a user's figures about images that is not the one the weights were trained with.

    Args:
        weights: Weights that a training starts from.
        **stated: The fields of `ImageFormat` that a user may state; None where none is stated.
    """
    for name, value in stated.items():
        own = getattr(weights.images, name, None)
        if value is not None and own is not None and value != own:
            log.warning(
                "images.%s is %s, but the weights of %s were trained with %s", name, value, weights.network, own
            )


def find_heads(network: nn.Module) -> tuple[str, ...]:
    """Returns the names of the layers that give a classifier's logits: as timm says, or the last linear layer.

    Where no layer is linear, as in SqueezeNet, it is the last convolution.

    Raises:
        WeightsError: If there is neither.
    """
    config = getattr(network, "pretrained_cfg", None)
    named = config.get("classifier") if isinstance(config, Mapping) else None
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    for kind in (nn.Linear, nn.Conv2d):
        found = [name for name, module in network.named_modules() if isinstance(module, kind)]
        if found:
            return (found[-1],)
    raise WeightsError(f"{type(network).__name__} has no linear layer and no convolution, so it is no classifier")


def refuse_misfits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], weights: PretrainedWeights) -> None:
    """Raises one WeightsError that lists all misfits between tensors found and those of a network."""
    misfits = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of wrong shape": [
            f"{name} found {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
    }
    told = [_tell(kind, names) for kind, names in misfits.items() if names]
    if told:
        raise WeightsError(
            f"{weights.source} does not fit {weights.network}: {'; '.join(told)}. Choose the network that the weights "
            "were saved from, or weights of this one"
        )


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of tensors with their names, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _fetch(network: str, library: Library | None) -> dict[str, Tensor]:
    """Returns the state that a library publishes for a network, from this machine where it is."""
    if library == "torchvision":
        require_torchvision_weights(network)
        filled: nn.Module = torchvision.models.get_model(network, weights="DEFAULT")
        return filled.state_dict()
    cfg = timm.get_pretrained_cfg(network) if library == "timm" else None
    if cfg is None or not cfg.has_weights:
        raise RecipeError(f"weights: there are no published weights of {network}; leave it out, or give a file")
    require_timm_weights(network)
    file = timm_file(network)
    source = {"file": str(file)} if file.exists() else None
    filled = timm.create_model(network, pretrained=True, pretrained_cfg_overlay=source)
    return filled.state_dict()


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    wrapped = all(name.startswith(_PREFIX) for name in state)
    return {name.removeprefix(_PREFIX) if wrapped else name: value for name, value in state.items()}


def _places(network: nn.Module) -> tuple[str, ...]:
    return tuple(f"{name}." for name in find_heads(network))


def _under(state: Mapping[str, Tensor], places: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith(places)}


def _first_head(network: nn.Module, places: tuple[str, ...]) -> dict[str, Tensor]:
    """Returns the state of a new head: zeros where it is linear, else, as before a ReLU, what the network has."""
    linear = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, nn.Linear))
    own = _under(network.state_dict(), places)
    return {name: torch.zeros_like(value) if name.startswith(linear) else value for name, value in own.items()}


def _outputs(head: Mapping[str, Tensor]) -> int:
    """Returns the outputs K of the first of the last layers; 0 if there is none."""
    weights = [value for name, value in head.items() if name.endswith("weight")]
    return len(weights[0]) if weights else 0


def _tell(kind: str, names: list[str]) -> str:
    rest = ", ..." if len(names) > _MAX_NAMED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_MAX_NAMED])}{rest}"
