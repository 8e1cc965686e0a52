"""Counts the multiply-adds of an ONNX graph, as `modicum.measuring.counting` counts those of a PyTorch network."""

# A, W are the first and the second operand of a node
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.measuring.counting import UnknownCostError
from modicum.storage.errors import MissingExtraError

Shape = tuple[int, ...]

# Where the two operands stand among the inputs of a node.
_CONVOLUTIONS = {"Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "FusedConv": (0, 1)}
_PRODUCTS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3), "Gemm": (0, 1), "QGemm": (0, 3)}
_TRANSPOSED = {"ConvTranspose": (0, 1)}
_COUNTED = {**_CONVOLUTIONS, **_PRODUCTS, **_TRANSPOSED}
_UNKNOWN = {"Attention", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan"}
_DOMAINS = {"", "ai.onnx"}


def count_onnx_macs(graph: bytes, inputs: Mapping[str, NDArray[Any]]) -> int:
    """Counts the multiply-adds of one run of a graph: convolutions and matrix products; all else counts as nothing.

    The graph is run once, so that every shape is known, whatever its sizes depend on.

    Args:
        graph: The content of an ONNX file, weights included.
        inputs: Its inputs by name.

    Raises:
        MissingExtraError: If onnx or ONNX Runtime is not installed.
        UnknownCostError: If it holds an operator whose cost is not known here.
    """
    try:
        import onnx
        from onnx import inliner
    except ImportError as error:
        raise MissingExtraError("onnx", "export") from error
    model = inliner.inline_local_functions(onnx.load_from_string(graph))
    for node in model.graph.node:
        if node.op_type in _UNKNOWN or (node.domain not in _DOMAINS and not _is_known_elsewhere(node)):
            raise UnknownCostError(
                f"cannot count the cost of the ONNX operator {node.domain or 'ai.onnx'}.{node.op_type}"
            )
    shapes = _observe_shapes(model, inputs)
    return sum(_node_macs(node, shapes) for node in model.graph.node if node.op_type in _COUNTED)


def _is_known_elsewhere(node: Any) -> bool:  # noqa: ANN401  onnx has no types
    """Tells whether a node of ONNX Runtime's own domain is quantised or fused arithmetic whose cost is known."""
    known: bool = node.domain == "com.microsoft" and (node.op_type in _COUNTED or node.op_type.startswith("QLinear"))
    return known


def _observe_shapes(model: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Shape]:  # noqa: ANN401
    """Returns the shapes of the operands and of the results of all counted nodes, by name."""
    import onnx
    import onnxruntime

    shapes: dict[str, Shape] = {each.name: tuple(each.dims) for each in model.graph.initializer}
    shapes |= {name: np.shape(value) for name, value in inputs.items()}
    counted = [node for node in model.graph.node if node.op_type in _COUNTED]
    wanted = [name for node in counted for name in (*_operands(node), node.output[0]) if name not in shapes]
    given = {output.name for output in model.graph.output}
    new = [name for name in dict.fromkeys(wanted) if name not in given]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in new)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # or nodes would be fused
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = list(dict.fromkeys(wanted))
    found = session.run(names, dict(inputs)) if names else []
    return shapes | {name: np.shape(value) for name, value in zip(names, found, strict=True)}


def _operands(node: Any) -> tuple[str, str]:  # noqa: ANN401
    first, second = _COUNTED[node.op_type]
    return node.input[first], node.input[second]


def _node_macs(node: Any, shapes: Mapping[str, Shape]) -> int:  # noqa: ANN401
    first, second = (shapes[name] for name in _operands(node))
    results = prod(shapes[node.output[0]])
    if node.op_type in _CONVOLUTIONS:
        return results * prod(second[1:])
    if node.op_type in _TRANSPOSED:
        return prod(first) * prod(second[1:])
    is_turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return results * first[-2 if is_turned else -1]
