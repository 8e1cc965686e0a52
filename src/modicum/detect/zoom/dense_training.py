"""Trains the dense form of R-net on maps of gains."""
# I images, B of them in a batch, C channels, H W cells

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from modicum.detect.zoom.gain_map import spread_gains
from modicum.detect.zoom.matching import Matches
from modicum.detect.zoom.rnet import MAP_SCALE, DenseRNet, GainMaps
from modicum.detect.zoom.rnet_training import mean_loss, take_step
from modicum.detect.zoom.windows import Grid


def dense_targets(matches: Matches, width: int, height: int, rows: int, columns: int) -> GainMaps:
    """Returns the gains per cell of an image of ``width`` x ``height`` pixels, one map each (1, H, W).

    The first holds what objects gain, proposed or missed by the coarse pass, and the second what is gained where
    nothing is. Both are spread evenly over boxes, so they sum to the gains. The public re-implementation assumes a fine
    detector that is always right: 1 for a missed object, 1 - score for a found one, score for a false alarm.
    """
    grid = Grid(width, height, columns, rows)
    is_object = matches.hits & matches.counts
    is_alarm = ~matches.hits & matches.counts
    boxes = np.concatenate([matches.boxes[is_object], matches.missed_boxes])
    found = spread_gains(boxes, np.concatenate([matches.gains[is_object], matches.missed_gains]), grid)
    alarms = spread_gains(matches.boxes[is_alarm], matches.gains[is_alarm], grid)
    return GainMaps(*(torch.from_numpy(each).float()[None] for each in (found, alarms)))


def train_dense_rnet(
    rnet: DenseRNet,
    features: Sequence[Tensor],
    targets: Sequence[GainMaps],
    *,
    epochs: int = 80,
    batch_size: int = 16,
    rate: float = 1e-4,
    seed: int = 0,
) -> list[float]:
    """Fits the dense form to maps of gains; leaves it in evaluation mode.

    Args:
        rnet: The network.
        features: Of I images, each (C, h, w); images share a batch where their shapes agree.
        targets: Of the same images, as `dense_targets` makes them on cells as many as the network draws.
        epochs: Passes over all images; this and what follows are those of the public re-implementation.
        batch_size: Images per step.
        rate: Of Adam.
        seed: Of the order of images.

    Returns:
        The mean loss of each pass.

    Raises:
        DivergedError: If the loss is not a finite number.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(rnet.parameters(), lr=rate)
    history = []
    rnet.train()
    for _ in range(epochs):
        losses = []
        for rows in _batches_by_shape([tuple(each.shape) for each in features], batch_size, generator):
            drawn = rnet(torch.stack([features[row] for row in rows]))
            wanted = GainMaps(*(torch.cat(maps) for maps in zip(*(targets[row] for row in rows), strict=True)))
            loss = map_loss(drawn.found, wanted.found) + map_loss(drawn.alarms, wanted.alarms)
            take_step(optimizer, loss)
            losses.append(loss.detach())
        history.append(mean_loss(losses))
    rnet.eval()
    return history


def map_loss(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Returns the mean squared error over cells without a gain plus that over cells with one, of maps times 200.

    Most cells hold nothing, and would drown the others in a common mean.
    """
    error, holds = (MAP_SCALE * (drawn - wanted)).square(), wanted != 0
    empty = ~holds
    return (error * holds).sum() / holds.sum().clamp(min=1) + (error * empty).sum() / empty.sum().clamp(min=1)


def _batches_by_shape(
    shapes: Sequence[tuple[int, ...]], batch_size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Yields the numbers of images of one shape, in random order, every image once."""
    order = torch.randperm(len(shapes), generator=generator).tolist()
    for shape in dict.fromkeys(shapes[row] for row in order):
        alike = [row for row in order if shapes[row] == shape]
        yield from (alike[at : at + batch_size] for at in range(0, len(alike), batch_size))
