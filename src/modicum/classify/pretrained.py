"""Published weights of CIFAR ResNets, in the layout that most training scripts write, for the networks defined here."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from modicum.classify.backbones import SmallResNet
from modicum.storage import states
from modicum.storage.errors import WeightsError
from modicum.storage.header import locate_weights, read_raw_header

_MAX_NAMED = 3  # tensors named per kind of misfit; the rest is counted


def load_cifar_weights(network: SmallResNet, weights: str | Path | Mapping[str, Tensor]) -> None:
    """Fills a CIFAR ResNet with weights named as usual: ``conv1``, ``bn1``, ``layer1.0.conv1``, ..., ``linear``.

    Nothing of ``network`` changes unless everything fits. Counters of batches, which evaluation does not need, may be
    missing. Published weights mean shortcuts that subsample (``cifar_resnet20``); they also fit the pooling ones
    (``cifar_resnet20_pool``), where they are a start to train from and not a trained network.

    Args:
        network: E.g. ``create_backbone("cifar_resnet20", 10)``.
        weights: A ``.safetensors`` file, or what such a file holds.

    Raises:
        WeightsError: If the file is missing or damaged, or its tensors are not those of ``network``.
    """
    source = "the state" if isinstance(weights, Mapping) else str(weights)
    found = weights if isinstance(weights, Mapping) else read_state(weights)
    state = {our_name(name): value for name, value in found.items()}
    expected = network.state_dict()
    state = {name: value for name, value in expected.items() if _is_counter(name)} | state
    _refuse_misfits(state, expected, source)
    network.load_state_dict(state)


def our_name(name: str) -> str:
    """Renames ``layer2.0.conv1.weight`` to ``layers.1.0.conv1.weight``; other names stay."""
    stage, _, rest = name.partition(".")
    number = stage.removeprefix("layer")
    return f"layers.{int(number) - 1}.{rest}" if stage.startswith("layer") and number.isdecimal() else name


def read_state(weights: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.safetensors`` file; nothing in it is executed.

    Raises:
        WeightsError: If it is missing, damaged or of another format, or holds numbers that are not finite.
    """
    file = locate_weights(weights)
    read_raw_header(file)  # refuses what is truncated or another format, with the reason
    return states.read_state(file)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _refuse_misfits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Raises one error that tells all misfits between the tensors found and those of the network."""
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
            f"{source} does not fit this CIFAR ResNet: {'; '.join(told)}. Choose the backbone of the same depth, "
            "widths and classes, whose shortcuts have no parameters"
        )


def _tell(kind: str, names: list[str]) -> str:
    rest = ", ..." if len(names) > _MAX_NAMED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_MAX_NAMED])}{rest}"
