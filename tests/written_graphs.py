"""ONNX files of small classifiers, as other tools export them."""

from pathlib import Path

import numpy as np


def write_graph(
    path: Path | str,
    first: int = 0,
    last: int | None = None,
    *,
    side: int = 32,
    classes: int = 2,
    width: int = 1,
    probabilities: bool = False,
    batch: int | str = "n",
    half: bool = False,
) -> str:
    """A graph that tells its first two classes apart, blue and red, by rows of pixels ``first`` to ``last``.

    ``width`` makes it as dear as one likes.
    """
    import onnx  # of an extra: tests that need no graph are collected without it
    from onnx import TensorProto, helper, numpy_helper

    number, kind = (np.float16, TensorProto.FLOAT16) if half else (np.float32, TensorProto.FLOAT)
    weight = np.zeros((classes * width, 3, 1, 1), number)
    weight[0, 2], weight[1, 0] = 2, 2
    constants = {
        "w": weight,
        "start": np.array([first]),
        "end": np.array([side if last is None else last]),
        "axis": np.array([2]),
        "classes": np.arange(classes),
    }
    node, info = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Slice", ["x", "start", "end", "axis"], ["s"]),
        node("Conv", ["s", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gather", ["f", "classes"], ["y"], axis=1),
    ]
    if probabilities:
        nodes.append(node("Softmax", ["y"], ["z"], axis=1))
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", kind, [batch, 3, side, side])],
        [info(nodes[-1].output[0], kind, [batch, classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return str(path)
