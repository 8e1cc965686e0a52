"""Q-net: the value of every window in a state, for one price or any (Gao et al., *Dynamic Zoom-in Network*, 2018).

The state is the accuracy-gain map. The fully connected form values fixed windows; the convolutional one values windows
of a few sizes at every place. The kernels of the paper's convolutional form are not known; ours sums maps of features
over each window by an integral image and ends in two 1 x 1 convolutions. The price lambda enters as a constant plane,
so that one network serves all prices.
"""
# B states, R rows, C columns of cells, A windows of all sizes, S sizes

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.detect.overlaps import Numbers
from modicum.detect.zoom.planning import Values
from modicum.detect.zoom.windows import Grid, Lattice

SUM_SCALE = 0.1  # of sums over windows, which hold hundreds of cells
NUM_FIXED_WINDOWS = 34  # 3 x 3 of half the sides and 5 x 5 of a third
FIXED_CELLS = (30, 40)  # rows and columns of the map that the fully connected form sees: 1,200 cells


class WindowShapes(NamedTuple):
    """The sizes of windows, as a network sees them."""

    spans: tuple[tuple[int, int], ...]  # S times rows and columns of whole cells
    shares: tuple[float, ...]  # S: pixels of a window as a share of the image's, which a price is multiplied with


def window_shapes(grid: Grid, lattices: Sequence[Lattice]) -> WindowShapes:
    """Returns the shapes of windows as `modicum.detect.zoom.windows.enumerate_windows` lists them."""
    spans = tuple((grid.rows - len(each.tops) + 1, grid.columns - len(each.lefts) + 1) for each in lattices)
    return WindowShapes(spans, tuple(each.pixels / grid.pixels for each in lattices))


class Qnet(Protocol):
    """Values windows."""

    def __call__(self, cells: Tensor, price: Tensor, windows: WindowShapes) -> Tensor:
        """Returns values (B, A) of all windows of states (B, R, C) at prices (B,), size by size and row by row."""


class FcQnet(nn.Module):
    """Values fixed windows from all cells: two fully connected layers, 1,200 - 128 - 34 in the paper.

    Args:
        num_cells: Cells of the map, rows times columns, the same for every image.
        num_windows: Windows A, as `modicum.detect.zoom.windows.spaced_windows` lists them.
        hidden: Units between.
    """

    def __init__(
        self,
        num_cells: int = FIXED_CELLS[0] * FIXED_CELLS[1],
        num_windows: int = NUM_FIXED_WINDOWS,
        *,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_cells + 1, hidden)
        self.values = nn.Linear(hidden, num_windows)

    def forward(self, cells: Tensor, price: Tensor, windows: WindowShapes) -> Tensor:
        """Returns values (B, A) of the fixed windows; their shapes are known from training.

        Raises:
            ValueError: If the map has another number of cells.
        """
        expected = self.hidden.in_features - 1
        if cells[0].numel() != expected:
            raise ValueError(f"this Q-net sees maps of {expected} cells, got {tuple(cells.shape[1:])}")
        seen = torch.cat([cells.flatten(1), price_signal(price)[:, None]], dim=1)
        values: Tensor = self.values(torch.relu(self.hidden(seen)))
        return values


class ConvQnet(nn.Module):
    """Values windows of a few sizes at every place of a map of any shape.

    Args:
        num_sizes: Sizes S.
        channels: Of the two convolutions of the trunk.
        hidden: Channels between the two 1 x 1 convolutions of each size's head.
    """

    def __init__(self, num_sizes: int, *, channels: tuple[int, int] = (16, 32), hidden: int = 32) -> None:
        super().__init__()
        first, second = channels
        self.trunk = nn.Sequential(
            nn.Conv2d(2, first, 3, padding=1), nn.ReLU(), nn.Conv2d(first, second, 3, padding=1), nn.ReLU()
        )
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(second + 1, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
            for _ in range(num_sizes)
        )

    def forward(self, cells: Tensor, price: Tensor, windows: WindowShapes) -> Tensor:
        """Returns values (B, A) of all windows of states (B, R, C) at prices (B,)."""
        state = cells[:, None]
        plane = price_signal(price)[:, None, None, None].expand_as(state)
        maps = torch.cat([state, self.trunk(torch.cat([state, plane], dim=1))], dim=1)
        integral = integral_image(maps)
        values = [
            head(SUM_SCALE * box_sums(integral, *span)).flatten(1)
            for head, span in zip(self.heads, windows.spans, strict=True)
        ]
        return torch.cat(values, dim=1)


class ResidualQnet(nn.Module):
    """Adds a learned correction to what the greedy policy maximises: the sum of the map less the price of the pixels.

    Args:
        correction: A network, which begins at 0 here, so that untrained this is the greedy policy on the map.
    """

    def __init__(self, correction: ConvQnet) -> None:
        super().__init__()
        self.correction = correction
        for head in correction.heads:
            assert isinstance(head, nn.Sequential)
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, cells: Tensor, price: Tensor, windows: WindowShapes) -> Tensor:
        """Returns values (B, A) of all windows of states (B, R, C) at prices (B,)."""
        integral = integral_image(cells[:, None])
        gains = [
            box_sums(integral, *span).flatten(1) - price[:, None] * share
            for span, share in zip(windows.spans, windows.shares, strict=True)
        ]
        values: Tensor = torch.cat(gains, dim=1) + self.correction(cells, price, windows)
        return values


def integral_image(maps: Tensor) -> Tensor:
    """Returns, of maps (B, S, R, C), the sums over all rows and columns before each cell: (B, S, R + 1, C + 1)."""
    return F.pad(maps.cumsum(2).cumsum(3), (1, 0, 1, 0))


def box_sums(integral: Tensor, rows: int, columns: int) -> Tensor:
    """Returns the sums over all windows of ``rows`` x ``columns`` cells, (B, S, R - rows + 1, C - columns + 1)."""
    strips = integral[:, :, rows:] - integral[:, :, : integral.shape[2] - rows]
    sums: Tensor = strips[..., columns:] - strips[..., : strips.shape[3] - columns]
    return sums


def price_signal(price: Tensor) -> Tensor:
    """Returns log2(1 + lambda), in which the sweep of prices is nearly even."""
    return torch.log2(1 + price)


def values_of(qnet: Qnet, grid: Grid, lattices: Sequence[Lattice]) -> Values:
    """Returns the network's values as `modicum.detect.zoom.planning.plan_by_value` takes them, for images of one size.

    Args:
        qnet: In evaluation mode, on the CPU.
        grid: Cells of the image.
        lattices: Windows that the network values.
    """
    shapes, counts = window_shapes(grid, lattices), [len(each) for each in lattices]

    @torch.inference_mode()
    def values(cells: Numbers, price: float) -> list[Numbers]:
        state = torch.from_numpy(cells).float()[None]
        flat = qnet(state, torch.tensor([price], dtype=torch.float32), shapes)[0]
        return [each.double().numpy() for each in torch.split(flat, counts)]

    return values
