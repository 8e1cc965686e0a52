"""Tensors out of safetensors files, wherever these stand."""

from pathlib import Path

from safetensors.torch import load, load_file
from torch import Tensor


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file by name, on the CPU.

    Raises:
        SafetensorError: If it is damaged.
        OSError: If it cannot be read.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError:  # the library maps files into memory, but only those whose path is UTF-8
        return load(file.read_bytes())
    return load_file(file)
