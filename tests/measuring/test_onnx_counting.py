import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the export extra is not installed")
from modicum.measuring.counting import UnknownCostError  # noqa: E402  after the skip
from modicum.measuring.onnx_counting import count_onnx_macs  # noqa: E402


def graph(nodes, constants, inputs, outputs):
    tensors = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    info = onnx.helper.make_tensor_value_info
    whole = onnx.helper.make_graph(
        nodes,
        "g",
        [info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(whole, opset_imports=opset, ir_version=9).SerializeToString()


def test_convolutions_and_products_are_counted_by_hand():
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),  # 8 x 4 x 4 of 3 x 3 x 3
        node("Conv", ["a", "d"], ["b"], group=8, pads=[1, 1, 1, 1]),  # depthwise: 8 x 4 x 4 of 3 x 3
        node("ConvTranspose", ["b", "t"], ["c"], strides=[2, 2]),  # 8 x 4 x 4 to 5 x 2 x 2 each
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "g"], ["h"], transB=1),  # 5 to 6
        node("MatMul", ["h", "m"], ["y"]),  # 6 to 7
    ]
    shapes = {"w": (8, 3, 3, 3), "d": (8, 1, 3, 3), "t": (8, 5, 2, 2), "g": (6, 5), "m": (6, 7)}
    content = graph(nodes, {name: np.ones(shape) for name, shape in shapes.items()}, {"x": ["n", 3, 8, 8]}, ["y"])
    expected = 8 * 16 * 27 + 8 * 16 * 9 + 8 * 16 * 5 * 4 + 5 * 6 + 6 * 7
    assert count_onnx_macs(content, {"x": np.zeros((1, 3, 8, 8), np.float32)}) == expected


def test_shapes_that_depend_on_the_input_are_known():
    nodes = [
        onnx.helper.make_node("Shape", ["x"], ["s"]),
        onnx.helper.make_node("ConstantOfShape", ["s"], ["z"]),
        onnx.helper.make_node("MatMul", ["x", "z"], ["y"]),
    ]
    content = graph(nodes, {}, {"x": ["n", "n"]}, ["y"])
    assert count_onnx_macs(content, {"x": np.zeros((4, 4), np.float32)}) == 64


def test_operator_of_unknown_cost_is_refused_by_name():
    content = graph(
        [onnx.helper.make_node("Einsum", ["x", "x"], ["y"], equation="ij,jk->ik")], {}, {"x": [2, 2]}, ["y"]
    )
    with pytest.raises(UnknownCostError, match=r"cannot count the cost of the ONNX operator ai\.onnx\.Einsum"):
        count_onnx_macs(content, {"x": np.zeros((2, 2), np.float32)})
