import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn


@pytest.fixture(scope="session")
def model_of() -> Callable[[str], nn.Module]:
    """Function from the name of a detector of torchvision to it, untrained, for three labels."""
    made: dict[str, nn.Module] = {}

    def make(name: str) -> nn.Module:
        if name not in made:
            torch.manual_seed(0)
            model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
            made[name] = model.eval()
        return made[name]

    return make


@pytest.fixture
def noise_image() -> Callable[[int, int], torch.Tensor]:
    """Function from height and width to an image (3, H, W) of noise."""
    return lambda height, width: torch.randint(
        0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(height * width)
    )


@pytest.fixture
def write_graph(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a graph with constant outputs, after a convolution that it multiplies by zero and adds."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def write(outputs, declared, *, shape=("n", 3, "h", "w"), has_batch=True):
        weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "weight")
        nodes = [
            helper.make_node("Conv", ["images", "weight"], ["seen"]),
            helper.make_node("ReduceMean", ["seen"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        ]
        tables = [weight, numpy_helper.from_array(np.zeros(1, np.float32), "zero")]
        given = []
        for name, values in outputs.items():
            rank = values.ndim + has_batch
            flat = numpy_helper.from_array(
                np.array([-1] + [1] * (rank - 1) if has_batch else [1], np.int64), f"{name}/s"
            )
            values = values[None] if has_batch else values
            tables += [flat, numpy_helper.from_array(values.astype(np.float32), f"{name}/v")]
            nodes += [
                helper.make_node("Reshape", ["nothing", f"{name}/s"], [f"{name}/n"]),
                helper.make_node("Add", [f"{name}/n", f"{name}/v"], [name]),
            ]
            axes = [f"{name}/{axis}" for axis in range(rank)]
            given.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, axes))
        feed = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "detector", [feed], given, tables)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, tmp_path / "detector.onnx")
        (tmp_path / "detector.json").write_text(json.dumps(declared))
        return tmp_path / "detector.onnx"

    return write
