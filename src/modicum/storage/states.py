"""States of networks that other programs saved: tensors by name, read without executing anything."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from modicum.storage.errors import WeightsError, first_few
from modicum.storage.tensors import read_tensors


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.safetensors`` file, or of a state that `torch.save` wrote, on the CPU, all finite.

    A state that stands under ``state_dict`` in what was saved is found.

    Raises:
        WeightsError: If the file is missing, damaged, holds something else than tensors by name, or numbers that are
            infinite or none.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"{file} does not exist: give a file of weights")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{file} holds no state of a network: it must map names to tensors")
    refuse_endless(state, file)
    return {str(name): value for name, value in state.items()}


def refuse_endless(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Raises `WeightsError` if a number in a state is infinite or NaN; the message names the tensors."""
    # A sum is finite unless a number is not, or it overflows: only then is every number looked at.
    if bad := [n for n, value in state.items() if not value.sum().isfinite() and not value.isfinite().all()]:
        raise WeightsError(
            f"{source} holds values that are not finite, in {first_few(sorted(map(str, bad)), 3)}: give other weights"
        )


def _read_safetensors(file: Path) -> object:
    try:
        return read_tensors(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} is damaged ({error}): copy or download it again") from error


def _read_pickle(file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged zip files and pickles fail in many ways
        # Not torch's own words: they advise to switch the protection off.
        raise WeightsError(
            f"{file} is damaged, or holds more than plain tensors ({type(error).__name__}): copy or download it again, "
            "or save the state_dict alone"
        ) from error
