"""Writes R-net and the Q-net as ONNX graphs for any number of detections and maps of any shape, and checks them."""

# B batch, N detections, F features, C channels, R rows and columns of cells, M maps, W windows of a size
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from modicum.detect.zoom.onnx_gains import (
    CELLS,
    FEATURES,
    GAIN_MAP,
    GAINS,
    GEOMETRY,
    LABELS,
    LEVEL,
    MAPS,
    PRICE,
    SUMS,
    VALUES,
    OnnxFixedQnet,
    OnnxQnet,
)
from modicum.detect.zoom.qnet import ConvQnet, FcQnet, ResidualQnet, WindowShapes, price_signal, values_of
from modicum.detect.zoom.rnet import NUM_GEOMETRY, DenseRNet, RNet
from modicum.detect.zoom.runner import DENSE_RNET, QNET, QNET_HEAD, QNET_MAPS, RNET
from modicum.detect.zoom.windows import Grid, Lattice
from modicum.exporting.manifest import Graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import ExportError, check_parity
from modicum.exporting.sessions import GraphRunner

Qnet: TypeAlias = ConvQnet | ResidualQnet | FcQnet
QnetName: TypeAlias = Literal["plain", "residual", "fixed"]

_NO_SHAPES = WindowShapes((), ())  # which the fully connected form does not read
_CHECKED_PRICES = (0.0, 4.0, 32.0)


def name_qnet(qnet: Qnet) -> QnetName:
    """Returns what the manifest calls the form of a Q-net."""
    if isinstance(qnet, FcQnet):
        return "fixed"
    return "residual" if isinstance(qnet, ResidualQnet) else "plain"


def num_heads(qnet: Qnet) -> int:
    """Returns how many sizes of windows a convolutional Q-net values; 0 of the fully connected one."""
    if isinstance(qnet, FcQnet):
        return 0
    return len(qnet.correction.heads if isinstance(qnet, ResidualQnet) else qnet.heads)


class _GainMap(nn.Module):
    """Adds both maps of a dense R-net."""

    def __init__(self, rnet: DenseRNet) -> None:
        super().__init__()
        self.rnet = rnet

    def forward(self, level: Tensor) -> Tensor:
        """Returns gains (B, H, W) of features (B, C, h, w)."""
        maps = self.rnet(level)
        total: Tensor = maps.found + maps.alarms
        return total


class _QnetMaps(nn.Module):
    """Runs a convolutional Q-net up to its maps."""

    def __init__(self, qnet: ConvQnet) -> None:
        super().__init__()
        self.trunk = qnet.trunk

    def forward(self, cells: Tensor, price: Tensor) -> Tensor:
        """Returns maps (B, M, R, C), the first of them the cells, of states (B, R, C) at prices (B,)."""
        state = cells[:, None]
        plane = price_signal(price)[:, None, None, None].expand_as(state)
        return torch.cat([state, self.trunk(torch.cat([state, plane], dim=1))], dim=1)


class _FixedValues(nn.Module):
    """Runs the fully connected Q-net."""

    def __init__(self, qnet: FcQnet) -> None:
        super().__init__()
        self.qnet = qnet

    def forward(self, cells: Tensor, price: Tensor) -> Tensor:
        """Returns values (B, A) of states (B, R, C) at prices (B,)."""
        values: Tensor = self.qnet(cells, price, _NO_SHAPES)
        return values


@torch.inference_mode()
def write_gains(rnet: RNet | DenseRNet, folder: Path) -> dict[str, Graph]:
    """Writes the graph of an R-net in evaluation mode, on the CPU; raises as `export_graph` does."""
    if isinstance(rnet, DenseRNet):
        shape = {0: "batch", 2: "rows", 3: "columns"}
        graph = export_graph(
            _GainMap(rnet).eval(),
            _dense_inputs(rnet, 12, 20),
            folder / "dense_rnet.onnx",
            input_names=[LEVEL],
            output_names=[GAIN_MAP],
            free=[shape],
        )
        return {DENSE_RNET: graph}
    inputs = _box_inputs(rnet, 3)
    names = [GEOMETRY, LABELS, FEATURES][: len(inputs)]
    path = folder / "rnet.onnx"
    free = [{0: "boxes"}] * len(inputs)
    return {RNET: export_graph(rnet, inputs, path, input_names=names, output_names=[GAINS], free=free)}


@torch.inference_mode()
def write_qnet(qnet: Qnet, folder: Path) -> dict[str, Graph]:
    """Writes the graphs of a Q-net in evaluation mode, on the CPU; raises as `export_graph` does."""
    price, named = torch.tensor([1.0, 4.0]), [CELLS, PRICE]
    if isinstance(qnet, FcQnet):
        cells, path = torch.rand(2, 30, 40), folder / "qnet.onnx"
        module = _FixedValues(qnet).eval()
        return {QNET: export_graph(module, (cells, price), path, input_names=named, output_names=[VALUES])}
    own = qnet.correction if isinstance(qnet, ResidualQnet) else qnet
    maps = _QnetMaps(own).eval()
    graphs = {
        QNET_MAPS: export_graph(
            maps,
            (torch.rand(2, 36, 64), price),
            folder / "qnet_maps.onnx",
            input_names=named,
            output_names=[MAPS],
            free=[{0: "batch", 1: "rows", 2: "columns"}, {0: "batch"}],
        )
    }
    sums = torch.rand(2, maps(torch.rand(1, 4, 4), price[:1]).shape[1], 5, 1)
    for size, head in enumerate(own.heads):
        graphs[QNET_HEAD.format(size + 1)] = export_graph(
            head,
            (sums,),
            folder / f"qnet_head_{size + 1}.onnx",
            input_names=[SUMS],
            output_names=[VALUES],
            free=[{0: "batch", 2: "windows"}],
        )
    return graphs


@torch.inference_mode()
def check_gains(rnet: RNet | DenseRNet, graph: GraphRunner) -> float:
    """Returns the worst difference between an R-net and its graph; raises `ExportError` above 1e-4."""
    worst, inputs = 0.0, tuple[Tensor, ...]()
    for size in (1, 7):
        if isinstance(rnet, DenseRNet):
            inputs, name = _dense_inputs(rnet, 5 + size, 9), GAIN_MAP
            expected = _GainMap(rnet)(*inputs)
        else:
            inputs, name = _box_inputs(rnet, size), GAINS
            expected = rnet(*inputs)
        found = graph(*(each.numpy() for each in inputs))
        worst = max(worst, check_parity({name: expected.numpy()}, {name: found[name]}))
    return worst


def check_qnet(qnet: Qnet, exported: OnnxQnet | OnnxFixedQnet, grid: Grid, lattices: tuple[Lattice, ...]) -> float:
    """Returns the worst difference between the values of a Q-net and of its export; raises `ExportError` above 1e-4."""
    cells = np.random.default_rng(0).random((grid.rows, grid.columns)) / 100
    original, other, worst = values_of(qnet, grid, lattices), exported.values_of(grid, lattices), 0.0
    for price in _CHECKED_PRICES:
        expected = {f"values {n}": each.ravel() for n, each in enumerate(original(cells, price))}
        found = {f"values {n}": each.ravel() for n, each in enumerate(other(cells, price))}
        worst = max(worst, check_parity(expected, found))
    return worst


def _box_inputs(rnet: RNet, count: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(count)
    geometry = torch.randn(count, NUM_GEOMETRY, generator=generator)
    labels = torch.arange(count) % rnet.classes.num_embeddings
    features = torch.randn(count, rnet.num_features, generator=generator)
    return (geometry, labels, features) if rnet.num_features else (geometry, labels)


def _dense_inputs(rnet: DenseRNet, rows: int, columns: int) -> tuple[Tensor]:
    first = rnet.decode[0]
    if not isinstance(first, nn.Conv2d):
        raise ExportError("this dense R-net does not begin with a convolution and cannot be exported")
    return (torch.randn(2, first.in_channels, rows, columns, generator=torch.Generator().manual_seed(rows)),)
