"""Many modules of few structures as ONNX files: each structure is traced once, and its graph is filled with weights.

Tracing takes 0.8 s however small the module is: close to a minute for the 54 blocks of a ResNet-110, which are of five
structures.
"""

# B batch
import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from modicum.exporting.manifest import Graph, describe_graph
from modicum.exporting.onnx_graphs import OPSET, export_graph

if TYPE_CHECKING:
    from onnx import ModelProto

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class TemplateWriter:
    """Writes modules with one input and one output as `export_graph` does; alike ones share a trace.

    Modules are alike if their classes, attributes, sizes and inputs are. A structure whose weights do not all stand in
    its graph under their own names, because the exporter computed with them, is traced anew for each module.
    """

    def __init__(self) -> None:
        self._templates: dict[str, ModelProto | None] = {}

    def write(self, module: nn.Module, example: Tensor, path: Path, *, input_name: str, output_name: str) -> Graph:
        """Writes ``module``, in evaluation mode and without batch normalisation, as an ONNX file.

        Args:
            module: From (B, ...) to (B, ...).
            example: An input of it, B >= 2.
            path: The file to write; its folder exists.
            input_name: What the graph calls its input.
            output_name: What it calls its output.

        Returns:
            The entry for the manifest.

        Raises:
            MissingExtraError: If the packages that write ONNX are not installed.
            ValueError: If ``module`` is in training mode or the example has fewer than two samples.
            ExportError: If the module cannot be expressed in ONNX.
        """
        key = f"{input_name} {output_name} {tuple(example.shape)} {_describe(module)}"
        if key not in self._templates:
            self._templates[key] = _make_template(module, example, input_name, output_name)
        template = self._templates[key]
        if template is None:
            return export_graph(module, (example,), path, input_names=[input_name], output_names=[output_name])
        path.write_bytes(_fill(template, module.state_dict()).SerializeToString())
        return describe_graph(path, [input_name], [output_name], OPSET)


def _describe(module: nn.Module) -> str:
    """Describes a module; equal texts imply equal computation with equal weights, but not the reverse."""
    return "\n".join(
        f"{name}: {type(part).__module__}.{type(part).__qualname__} {part.extra_repr()} {_attributes(part)} "
        f"{[(key, tuple(value.shape), value.dtype) for key, value in part.state_dict().items()]}"
        for name, part in module.named_modules()
    )


def _attributes(part: nn.Module) -> list[str]:
    own = {key: value for key, value in vars(part).items() if key not in _OF_EVERY_MODULE}
    # A tensor prints abridged; by its address it equals itself alone.
    return [f"{key}={id(value) if isinstance(value, Tensor) else repr(value)}" for key, value in own.items()]


def _make_template(module: nn.Module, example: Tensor, input_name: str, output_name: str) -> "ModelProto | None":
    """Returns the graph of modules like ``module``, its weights to be replaced; None if it lacks some of them."""
    # Random weights, because the exporter leaves out what special ones, such as biases of 0, make superfluous.
    like = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(0)
    for weight in like.state_dict().values():
        if weight.is_floating_point():
            weight.copy_(torch.rand(weight.shape, generator=generator) + 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.onnx")
        export_graph(like, (example,), path, input_names=[input_name], output_names=[output_name])
        import onnx  # an extra, which `export_graph` has asked for

        template = onnx.load(path)
    held = {value.name: onnx.TensorProto.DataType.Name(value.data_type) for value in template.graph.initializer}
    numbers = {name for name, kind in held.items() if not kind.startswith("INT")}  # whole numbers are sizes
    state = module.state_dict()
    return template if numbers <= state.keys() <= held.keys() else None


def _fill(template: "ModelProto", state: dict[str, Tensor]) -> "ModelProto":
    from onnx import ModelProto, numpy_helper

    model = ModelProto()
    model.CopyFrom(template)
    for value in model.graph.initializer:
        if value.name in state:
            value.CopyFrom(numpy_helper.from_array(state[value.name].detach().numpy(), value.name))
    return model
