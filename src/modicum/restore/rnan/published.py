"""Weights that the authors of RNAN released: their tensors under the names of this package's network, none left over.

The authors' loader skips what it does not know and keeps what it misses; here, both are errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modicum.restore.rnan.network import RNAN
from modicum.storage.errors import WeightsError, first_few
from modicum.storage.states import read_state

# Modules of one attention block: this package's name, and theirs. Theirs has each branch in a Sequential of its own.
RESIDUAL_BLOCKS = {
    "before": "RA_RB1.0",
    "trunk.0": "RA_TB.0.body.0",
    "trunk.1": "RA_TB.0.body.1",
    "mask.within.0": "RA_MB.0.MB_RB2.0",
    "mask.within.1": "RA_MB.0.MB_RB2.1",
    "mask.after.0": "RA_MB.0.MB_RB3.0",
    "after.0": "RA_tail.0",
    "after.1": "RA_tail.1",
}
CONVOLUTIONS = {"mask.down": "RA_MB.0.MB_Down.0", "mask.up": "RA_MB.0.MB_Up.0", "mask.after.1": "RA_MB.0.MB_1x1conv.0"}
NON_LOCAL = {"theta": "theta", "phi": "phi", "g": "g", "projection": "W"}
MEAN_SHIFTS = ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")


def load_published(path: str | Path) -> RNAN:
    """Loads the network of a released file, with its weights, in evaluation mode, on the CPU.

    Args:
        path: A ``.pt`` file of the authors' code, or the same tensors as ``.safetensors``. Nothing in it is executed.

    Raises:
        WeightsError: If the file cannot be read, or its tensors are not those of such a network.
    """
    state = read_state(path)
    try:
        return convert_published(state).float()
    except WeightsError as error:
        raise WeightsError(f"{path} does not hold weights of RNAN: {error}") from error


def convert_published(state: Mapping[str, Tensor]) -> RNAN:
    """Builds a network with the weights in a released state, whose tensor sizes tell its structure.

    The network computes in 0..255 and normalises attention over the outputs, as the authors' code does.

    Args:
        state: Tensors by the authors' names. Doubles stay doubles; everything else becomes single precision.

    Raises:
        WeightsError: If a tensor is missing, unknown or of another shape; the message names it.
    """
    with torch.device("meta"):
        network = RNAN(normalize="outputs", **_structure(state))
    names = published_names(network)
    shapes = {theirs: network.state_dict()[ours].shape for ours, theirs in names.items()}
    if network.scale > 1:
        shapes |= dict(zip(MEAN_SHIFTS, (torch.Size((3, 3, 1, 1)), torch.Size((3,))) * 2, strict=True))
    _refuse_misfits(state, shapes)
    dtype = torch.float64 if all(tensor.dtype == torch.float64 for tensor in state.values()) else torch.float32
    tensors = {ours: state[theirs].to(dtype, copy=True) for ours, theirs in names.items()}
    if network.scale > 1:
        tensors |= _without_shifts(tensors, [state[name].double() for name in MEAN_SHIFTS], network)
    else:
        network.mean = torch.zeros(
            1, network.channels, 1, 1, dtype=dtype
        )  # of images that are not shifted; no tensor of a file
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.eval()


def published_names(network: RNAN) -> dict[str, str]:
    """Returns the authors' name of each parameter of a network, by its own name.

    Above scale 1, theirs also holds `MEAN_SHIFTS`, which `convert_published` folds into the mean, first and last layer.
    """
    modules = _modules(network)
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules for kind in ("weight", "bias")}


def _modules(network: RNAN) -> Iterator[tuple[str, str]]:
    """Yields the names of the modules with parameters, this package's and the authors'."""
    yield "head", "head.0"
    yield from _group("first", "body_nl_low.0", non_local=True)
    local_groups = len(network.middle) - 1
    for number in range(local_groups):
        yield from _group(f"middle.{number}", f"body.{number}", non_local=False)
    yield f"middle.{local_groups}", f"body.{local_groups}"
    yield from _group("last", "body_nl_high.0", non_local=True)
    last = len(network.tail) - 1
    for number in range(0, last, 2):  # between the convolutions that enlarge, pixels are shuffled
        yield f"tail.{number}", f"tail.0.{number}"
    yield f"tail.{last}", "tail.1" if last else "tail.0"


def _group(ours: str, theirs: str, *, non_local: bool) -> Iterator[tuple[str, str]]:
    """Yields the names of an attention block and of the convolution that ends its group."""
    block, their_block = f"{ours}.0", f"{theirs}.body.0"
    first, their_first = f"{block}.mask.before", f"{their_block}.RA_MB.0.MB_RB1"
    residual_blocks = [(f"{block}.{name}", f"{their_block}.{other}") for name, other in RESIDUAL_BLOCKS.items()]
    if non_local:
        for name, other in NON_LOCAL.items():
            yield f"{first}.0.{name}", f"{their_first}.0.{other}"
        residual_blocks.append((f"{first}.1", f"{their_first}.1"))
    else:
        residual_blocks.append((first, f"{their_first}.0"))
    for name, other in residual_blocks:
        for layer in ("body.0", "body.2"):
            yield f"{name}.{layer}", f"{other}.{layer}"
    for name, other in CONVOLUTIONS.items():
        yield f"{block}.{name}", f"{their_block}.{other}"
    yield f"{ours}.1", f"{theirs}.body.1"


def _without_shifts(tensors: Mapping[str, Tensor], shifts: Sequence[Tensor], network: RNAN) -> dict[str, Tensor]:
    """Folds the authors' two trained shifts of colours into mean, first and last layer, exactly.

    ``head(A x + a) = (head A)(x - m)`` with ``m = -A^-1 a``, at padded borders too, where both see zeros; and
    ``B tail(y) + b = (B tail)(y) + m`` with ``b - m`` in the bias.
    """
    matrix, offset, last_matrix, last_offset = shifts
    matrix, last_matrix = matrix.flatten(1), last_matrix.flatten(1)
    mean = -torch.linalg.solve(matrix, offset)
    tail = f"tail.{len(network.tail) - 1}"
    bias = last_matrix @ tensors[f"{tail}.bias"].double() + last_offset - mean
    folded = {
        "mean": (mean / network.value_range).view(1, -1, 1, 1),
        "head.weight": torch.einsum("fchw,cd->fdhw", tensors["head.weight"].double(), matrix),
        f"{tail}.weight": torch.einsum("dc,cfhw->dfhw", last_matrix, tensors[f"{tail}.weight"].double()),
        f"{tail}.bias": bias,
    }
    return {name: tensor.to(tensors["head.weight"].dtype) for name, tensor in folded.items()}


def _refuse_misfits(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(shape)}"
        for name, shape in shapes.items()
        if name in state and state[name].shape != shape
    ]
    misfits = {
        "missing": sorted(set(shapes) - set(state)),
        "unknown": sorted(set(state) - set(shapes)),
        "of another shape": misshapen,
    }
    if any(misfits.values()):
        raise WeightsError("; ".join(f"tensors {kind}: {first_few(names)}" for kind, names in misfits.items() if names))


def _structure(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Derives the arguments of the network from the names and shapes of the tensors."""
    head = state.get("head.0.weight")
    if head is None or head.ndim != 4:
        raise WeightsError("the first convolution, head.0.weight, is missing")
    features, channels = head.shape[:2]
    if channels not in (1, 3) or features < 2:
        raise WeightsError(f"head.0.weight is {tuple(head.shape)}, where images have 1 or 3 channels")
    groups = {name.split(".")[1] for name in state if name.startswith("body.") and name.count(".") > 2}
    enlarging = state.get("tail.0.0.weight")
    scale = 1
    if enlarging is not None:
        scale = 4 if "tail.0.2.weight" in state else {4: 2, 9: 3}.get(len(enlarging) // features, 2)
    return {"channels": channels, "features": features, "local_groups": len(groups), "scale": scale}
