"""Networks as safetensors files that carry name and config; loading executes nothing that the file says."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from modicum.storage.errors import WeightsError
from modicum.storage.files import JSON, dump_json
from modicum.storage.header import (
    FORMAT,
    FORMAT_VERSION,
    Header,
    TensorEntry,
    interpret_metadata,
    locate_weights,
    read_header,
    read_raw_header,
    verify_digest,
    write_weights,
)
from modicum.storage.limits import Limits
from modicum.storage.provenance import modicum_version
from modicum.storage.runs import WRITE_AGAIN, RunFolder
from modicum.storage.states import refuse_endless
from modicum.storage.tensors import read_tensors

__all__ = ["Header", "Storable", "load_left", "load_network", "read_header", "save_network"]

N = TypeVar("N", bound=nn.Module)

_MAX_NAMED = 5  # tensors named per kind of misfit; the rest is counted


@runtime_checkable
class Storable(Protocol):
    """A network that can say how to build it again."""

    @property
    def storage_name(self) -> str:
        """Name under which the builder is registered; usually a class attribute."""

    def storage_config(self) -> Mapping[str, JSON]:
        """Returns the builder's keyword arguments as plain JSON data; a tuple comes back as a list."""


def save_network(path: str | Path, network: nn.Module, *, notes: Mapping[str, JSON] | None = None) -> None:
    """Writes weights, name and config of a network into one safetensors file, atomically.

    What ``state_dict`` holds is written: parameters and persistent buffers, tied ones once per name. Takes memory for
    one more copy of them.

    Args:
        path: The file to write; missing parent folders are made.
        network: A network with ``storage_name`` and ``storage_config()`` (see `Storable`), on any device but ``meta``.
        notes: Anything readable to keep with the weights; `read_header` returns it.

    Raises:
        TypeError: If the network does not say its name and config, or its state holds something else than tensors.
        ValueError: If config or notes are not plain JSON data.
    """
    network = _uncompiled(network)
    if not isinstance(network, Storable):
        raise TypeError(
            f"{type(network).__name__} cannot be saved: give it `storage_name` and `storage_config()`, see Storable"
        )
    metadata, tensors = _describe(network, notes or {}), _separate_tensors(network)
    write_weights(path, metadata, save(tensors))


def load_network(path: str | Path, builders: Mapping[str, Callable[..., N]], **parts: object) -> N:
    """Loads the network of a weights file, with its weights, in evaluation mode, on the CPU.

    The file names the network, ``builders`` says what the name means, and no other name is accepted: loading executes
    nothing of the file's choice. A half-precision file loads into a single-precision network as single precision.

    Args:
        path: A ``.safetensors`` file that `save_network` wrote, or a run folder that holds ``model.safetensors``.
        builders: The networks that may be built, by registered name; each is called as ``builder(**config, **parts)``.
        **parts: Arguments that no JSON can hold, such as a backbone.

    Raises:
        WeightsError: If the file is missing, damaged, of another program or newer format, or does not fit its network.
        ValueError: If a part is also in the file's config.
    """
    file = locate_weights(path)
    raw = read_raw_header(file)
    header = interpret_metadata(raw.metadata, file)
    verify_digest(file, raw)
    builder = _find_builder(header, builders, file)
    network = _build(header, builder, parts, file, Limits.of(raw.tensors))
    _refuse_misfits(raw.tensors, network, header, file)
    network.load_state_dict(_read_tensors(file), strict=True)
    return network.eval()


def load_left(
    run: RunFolder, stage: str, path: Path, builders: Mapping[str, Callable[..., N]], *, remedy: str = WRITE_AGAIN
) -> N | None:
    """Loads the network that a stage left beside that of its run; None if the run has not finished that stage.

    Args:
        run: The run folder.
        stage: Name of the stage.
        path: The file that it wrote.
        builders: As for `load_network`.
        remedy: Advice for a user whose file is gone; ends the message.

    Raises:
        RunError: If the stage is finished but its file is gone.
        WeightsError: If the file is damaged.
    """
    left = run.weights_left_by(stage, path, remedy=remedy)
    return None if left is None else load_network(left, builders)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file, all numbers finite; raises `WeightsError`."""
    try:
        state = read_tensors(file)
    except SafetensorError as error:
        raise WeightsError(f"{file} is damaged ({error}): copy or download it again") from error
    refuse_endless(state, file)
    return state


def _uncompiled(network: nn.Module) -> nn.Module:
    """Returns the network in a `torch.compile` wrapper, which lacks its name and prefixes its tensors."""
    plain: nn.Module = getattr(network, "_orig_mod", network)
    return plain


def _describe(network: Storable, notes: Mapping[str, JSON]) -> dict[str, str]:
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "modicum_version": modicum_version(),
        "network": network.storage_name,
        "config": dump_json(network.storage_config()),
        "notes": dump_json(notes),
    }


def _separate_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Returns the state as contiguous CPU tensors, no two of which share memory, as safetensors requires."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} of {type(network).__name__} is a {type(value).__name__}: only tensors can be saved"
            )
        tensor = value.detach().cpu().contiguous()
        address = tensor.untyped_storage().data_ptr()
        # torch.compile of a part of the network leaves its mark in the names; the builder's network has none.
        tensors[name.replace("_orig_mod.", "")] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return tensors


def _find_builder(header: Header, builders: Mapping[str, Callable[..., N]], file: Path) -> Callable[..., N]:
    if header.network in builders:
        return builders[header.network]
    close = get_close_matches(header.network, builders, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise WeightsError(
        f"{file} holds the network {header.network!r}, which is not known here; {hint}"
        f"known: {', '.join(sorted(builders)) or 'none'}"
    )


def _build(header: Header, builder: Callable[..., N], parts: Mapping[str, object], file: Path, limits: Limits) -> N:
    if twice := sorted(header.config.keys() & parts.keys()):
        raise ValueError(f"{', '.join(twice)} stand in the config of {file} already: do not pass them to load_network")
    arguments = {**header.config, **parts}
    try:
        inspect.signature(builder).bind(**arguments)
    except TypeError as error:
        raise WeightsError(
            f"{file}: the builder of {header.network!r} does not take this config: {error}; "
            f"it was written by modicum {header.version}, this is {modicum_version()}"
        ) from error
    try:
        with limits.kept(file):
            return builder(**arguments)
    except WeightsError:
        raise
    except (TypeError, ValueError, RuntimeError, MemoryError, OverflowError, RecursionError, LookupError) as error:
        raise WeightsError(f"{file}: the builder of {header.network!r} refuses its config: {error}") from error


def _refuse_misfits(found: Mapping[str, TensorEntry], network: nn.Module, header: Header, file: Path) -> None:
    """Raises one error that lists all misfits between the tensors of the file and of the network."""
    expected: dict[str, Tensor] = network.state_dict()
    shared = [name for name in expected if name in found]
    misfits = {
        "missing": [f"{n} {tuple(t.shape)}" for n, t in expected.items() if n not in found],
        "unknown": [f"{n} {entry.shape}" for n, entry in found.items() if n not in expected],
        "of wrong shape": [
            f"{n} found {found[n].shape}, expected {tuple(expected[n].shape)}"
            for n in shared
            if found[n].shape != tuple(expected[n].shape)
        ],
        "of wrong type": [
            f"{n} found {_kind_in_file(found[n].dtype)}, expected {_kind_in_torch(expected[n].dtype)}"
            for n in shared
            if _kind_in_file(found[n].dtype) != _kind_in_torch(expected[n].dtype)
        ],
    }
    told = [_tell(kind, names) for kind, names in misfits.items() if names]
    if told:
        raise WeightsError(
            f"{file} does not fit the network {header.network!r} built from its config: {'; '.join(told)}. "
            f"Use the modicum that wrote it ({header.version}), or train again"
        )


def _tell(kind: str, names: Iterable[str]) -> str:
    names = list(names)
    rest = ", ..." if len(names) > _MAX_NAMED else ""
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} {kind}: {', '.join(names[:_MAX_NAMED])}{rest}"


def _kind_in_file(dtype: str) -> str:
    if dtype == "BOOL":
        return "boolean"
    if dtype.startswith(("F", "BF")):
        return "float"
    return "complex" if dtype.startswith("C") else "integer"


def _kind_in_torch(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "boolean"
    if dtype.is_floating_point:
        return "float"
    return "complex" if dtype.is_complex else "integer"
