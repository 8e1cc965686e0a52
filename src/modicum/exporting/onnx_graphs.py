"""One network, one ONNX file, for batches of any size."""

import importlib.util
import inspect
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from modicum.exporting.manifest import Graph, describe_graph, weights_path
from modicum.exporting.parity import ExportError
from modicum.storage.errors import MissingExtraError

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

OPSET = 18  # what PyTorch's exporter writes of itself; any other goes through a conversion that may fail
_MAX_FILE_BYTES = 2**31 - 2**24  # ONNX files are protobuf messages, below 2 GB; a margin for what is not weights
_CHATTY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def export_graph(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    path: str | Path,
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    free: Sequence[Mapping[int, str]] | None = None,
) -> Graph:
    """Writes ``module`` as an ONNX file whose inputs and outputs have a batch dimension of any size, first of all.

    The file holds its weights; above 2 GB they go into a file of the same name with ``.data`` behind it. Files appear
    under their names when they are whole.

    Args:
        module: In evaluation mode, returning a tensor or a tuple of tensors.
        example_inputs: One tensor (B, ...) per argument of ``module``, those of ``*args`` included, B >= 2, on its
            device.
        path: The file to write; its folder exists.
        input_names: One per argument.
        output_names: One per result.
        free: For each argument, the dimensions of any size by number, with a name that is the same where the sizes must
            be; None for the first, the batch, alone.

    Returns:
        The entry for the manifest.

    Raises:
        MissingExtraError: If the packages that write ONNX are not installed.
        ValueError: If ``module`` is in training mode or an example has fewer than two samples.
        ExportError: If the network cannot be expressed in ONNX.
    """
    _require_extra()
    if module.training:
        raise ValueError(f"module must be in evaluation mode to be exported: call eval() on {type(module).__name__}")
    if small := [tuple(example.shape) for example in example_inputs if len(example) < 2]:
        raise ValueError(f"example_inputs need two samples or more, else the batch size becomes fixed, got {small[0]}")
    shapes = _batches_of_any_size(module, len(example_inputs)) if free is None else tuple(map(dict, free))
    program = _trace(module, example_inputs, input_names, output_names, shapes)
    _save(program, Path(path))
    return describe_graph(Path(path), input_names, output_names, OPSET)


def _trace(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    shapes: tuple[object, ...],
) -> "ONNXProgram":
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                module,
                tuple(example.clone() for example in example_inputs),  # one tensor twice would become one input
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=input_names,
                output_names=output_names,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()
        name = type(module).__name__
        raise ExportError(f"{name} cannot be written as ONNX: {reason[0] if reason else error}") from error
    assert program is not None  # it is None only where the exporter writes a file itself
    return program


def _batches_of_any_size(module: nn.Module, num_inputs: int) -> tuple[object, ...]:
    """Returns the free dimensions, nested like the arguments of ``module``; ``*args`` is one tuple."""
    named = [p for p in inspect.signature(module.forward).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    free = [{0: "batch"} for _ in range(num_inputs)]
    return (*free[: len(named)], tuple(free[len(named) :])) if num_inputs > len(named) else tuple(free)


def _save(program: "ONNXProgram", path: Path) -> None:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    # The exporter notes with each node the lines of source that made it, with their paths on this machine.
    ClearMetadataAndDocStringPass()(program.model)
    weights = (value.const_value for value in program.model.graph.initializers.values())
    num_bytes = sum(weight.nbytes for weight in weights if weight is not None)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp") as folder:
        program.save(Path(folder) / path.name, external_data=num_bytes > _MAX_FILE_BYTES)
        weights_path(path).unlink(missing_ok=True)  # of an earlier, larger graph
        for part in sorted(Path(folder).iterdir(), reverse=True):  # weights first, as the graph refers to them
            _flush(part)
            part.replace(path.with_name(part.name))


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # else a power cut could keep the new name and lose the bytes behind it


def _require_extra() -> None:
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "export")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the exporter while the block runs; nothing else does.

    It warns of its own and its dependencies' deprecated calls and reports its progress; none of that is for our
    users to act on, and what goes wrong is raised. Parity is checked on the written file.
    """
    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
