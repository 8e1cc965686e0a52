"""How the rows of a batch get through droppable blocks: selected, so that only kept rows are computed, or masked.

`SelectedPlan` is the execution; `MaskedPlan` computes everything and blends, which makes it the reference for tests and
the way in for gradients of the gates.
"""

# N images, B = copies * N rows of the batch, U droppable blocks, C channels, H W pixels
from typing import Protocol

import torch
from torch import Tensor, nn

from modicum.adaptive.execution import select_run_scatter


class Bypassable(Protocol):
    """What a plan needs to know of a droppable block."""

    index: int
    may_overwrite: bool
    block: nn.Module

    @property
    def shortcut(self) -> nn.Module:
        """What a dropped row runs."""

    @property
    def is_identity(self) -> bool:
        """Whether a dropped row stays as it is."""


class Plan(Protocol):
    """One pass of a batch through all droppable blocks, in their order."""

    def run(self, unit: Bypassable, x: Tensor) -> Tensor:
        """Returns the output of one block for the rows of ``x``."""


class SelectedPlan:
    """Each block computes only the rows that keep it.

    The keep matrix is copied to the host once, and the rows of all blocks go to the device together, so no block waits.
    Without gradients, kept rows are written over the features of the block before, where a chain of modules makes sure
    that nothing else reads them; a forward hook that stores such features should clone them.

    Args:
        keep: Shape (B, U), bool; row ``c * N + n`` is copy c of image n.
        copies: How often each image occurs. The first droppable block repeats its input; what lies before it is shared.
        is_sorted: Whether to bring rows of equal policies together, so that more blocks find theirs side by side and
            need no copy of them. The rows leave the network in the order of `order`.
    """

    def __init__(self, keep: Tensor, *, copies: int = 1, is_sorted: bool = False) -> None:
        keep = keep.cpu()
        self.copies = copies
        self.order = sort_policies(keep) if is_sorted and len(keep) > 1 else None
        self.keep = keep if self.order is None else keep[self.order]
        self._counts: list[int] = self.keep.sum(dim=0).tolist()
        self._rows: list[slice | Tensor] = []
        self._written: Tensor | None = None  # the latest features that a block of this plan has made

    def restore(self, outputs: Tensor) -> Tensor:
        """Returns ``outputs`` (B, ...) of the network in the order of the rows of ``keep``."""
        if self.order is None:
            return outputs
        return outputs[self.order.argsort().to(outputs.device)]

    def run(self, unit: Bypassable, x: Tensor) -> Tensor:
        """Runs the shortcut if no row keeps the block, the plain block if all do, else both on their rows."""
        if unit.index == 0:
            x = self._enter(x)
        kept = self._counts[unit.index]
        if kept == 0:
            passed: Tensor = x if unit.is_identity else unit.shortcut(x)
            return passed
        if kept == len(x):
            output: Tensor = unit.block(x)
        elif unit.is_identity:
            output = self._run_some(unit, x)
        else:
            output = select_run_scatter(x, self.keep[:, unit.index], [unit.shortcut, unit.block])
        self._written = output
        return output

    def _enter(self, x: Tensor) -> Tensor:
        """Expands the features of the images to the rows of the run, and sends the rows' indices to the device."""
        x = repeat_images(x, self.copies, len(self.keep))
        if len(x) > 1:
            self._rows = rows_to_run(self.keep, x.device)
        return x if self.order is None else x[self.order.to(x.device)]

    def _run_some(self, unit: Bypassable, x: Tensor) -> Tensor:
        rows = self._rows[unit.index]
        if torch.is_grad_enabled():  # the features of the block before are needed again for the gradient
            if isinstance(rows, slice):
                rows = torch.arange(rows.start, rows.stop, device=x.device)
            return x.index_copy(0, rows, unit.block(x[rows]).to(x.dtype))
        part = unit.block(x[rows] if isinstance(rows, slice) else gather_rows(x, rows))
        if not (unit.may_overwrite and x is self._written):
            x = x.clone()
        if isinstance(rows, slice):
            x[rows] = part
        else:
            write_rows(x, rows, part)
        return x


class MaskedPlan:
    """Each block computes every row and blends: g * block + (1 - g) * shortcut.

    Args:
        gates: Shape (B, U), in [0, 1], on the device of the images; gradients flow back into it.
        copies: As for `SelectedPlan`.
    """

    def __init__(self, gates: Tensor, *, copies: int = 1) -> None:
        self.gates = gates
        self.copies = copies

    def run(self, unit: Bypassable, x: Tensor) -> Tensor:
        """Returns the blend of block and shortcut."""
        if unit.index == 0:
            x = repeat_images(x, self.copies, len(self.gates))
        gate = self.gates[:, unit.index].to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        blended: Tensor = gate * unit.block(x) + (1 - gate) * unit.shortcut(x)
        return blended


def repeat_images(x: Tensor, copies: int, num_rows: int) -> Tensor:
    """Repeats features of images (N, ...) as rows (copies * N, ...), the images of one copy side by side.

    Raises:
        ValueError: If that does not give ``num_rows``.
    """
    if copies * len(x) != num_rows:
        raise ValueError(f"there must be {copies} x {len(x)} keep-vectors for {len(x)} images, got {num_rows}")
    return x if copies == 1 else torch.cat([x] * copies)


def sort_policies(keep: Tensor) -> Tensor:
    """Returns an order (B,) of the rows of ``keep`` (B, U) that groups equal policies; the sort is stable."""
    if not len(keep):
        return torch.empty(0, dtype=torch.int64)
    policies: Tensor = torch.unique(keep, dim=0, return_inverse=True)[1]
    return policies.argsort(stable=True)


def rows_to_run(keep: Tensor, device: torch.device) -> list[slice | Tensor]:
    """Returns the rows that run each block of ``keep`` (B, U), B > 0: a slice if contiguous, else their indices."""
    marks = keep.T.to(torch.uint8)  # (U, B); argmax finds the first of equals
    first, last = marks.argmax(dim=1), keep.shape[0] - 1 - marks.flip(1).argmax(dim=1)
    counts = keep.sum(dim=0)
    side_by_side = (last - first + 1 == counts).tolist()
    numbers = torch.split(keep.T.nonzero()[:, 1].to(device, non_blocking=True), counts.tolist())
    starts, stops = first.tolist(), (last + 1).tolist()
    return [
        slice(start, stop) if together else rows
        for start, stop, together, rows in zip(starts, stops, side_by_side, numbers, strict=True)
    ]


def gather_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Returns ``x[rows]`` in the memory layout of ``x``; faster on a CPU, where it copies whole rows at a time."""
    if _is_channels_last(x):
        return x.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return x.index_select(0, rows)


def write_rows(x: Tensor, rows: Tensor, part: Tensor) -> None:
    """Sets ``x[rows] = part`` in place; faster on a CPU, where copying by index goes element by element.

    A wide element carries sixteen bytes, whatever they represent.
    """
    part = part.to(x.dtype)
    wide, wide_part = _as_wide(x), _as_wide(part)
    if wide is None or wide_part is None or _is_channels_last(x) != _is_channels_last(part):
        x.index_copy_(0, rows, part)
    else:
        wide.index_copy_(0, rows, wide_part)


def _as_wide(x: Tensor) -> Tensor | None:
    """Views the memory of ``x`` (B, ...) as rows of sixteen-byte elements; None if not dense or they do not fit."""
    if _is_channels_last(x):
        x = x.permute(0, 2, 3, 1)
    row_bytes, offset_bytes = x.stride(0) * x.element_size(), x.storage_offset() * x.element_size()
    if not x.is_contiguous() or row_bytes % 16 or offset_bytes % 16 or x.device.type != "cpu":
        return None
    return x.flatten(1).view(torch.complex128)


def _is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
