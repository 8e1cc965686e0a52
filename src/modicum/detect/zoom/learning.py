"""Teaches a Q-net to plan windows by deep Q-learning on cached detections; no detector runs in the loop.

The reward of a window is the true gain of the boxes fully inside that no window before held, less the price of its
pixels: sum (|g - p_l| - |g - p_h|) - lambda b / B. As stopping is always possible, what comes after is worth at least
0: the target is R + gamma max(0, max_a' Q(s', a')), with Q of a copy of the network that follows every few updates.
"""
# B transitions, E parallel episodes, R rows, C columns of cells

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.detect.overlaps import Boxes, Numbers
from modicum.detect.zoom.gain_map import clear
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.qnet import WindowShapes, window_shapes
from modicum.detect.zoom.windows import Grid, Lattice
from modicum.storage.errors import DivergedError

PRICES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of the sweep, in gained objects per image of pixels


@dataclass(frozen=True)
class QLearning:
    """How a Q-net learns.

    Attributes:
        updates: Steps of the optimizer; at each, every parallel episode takes one step, too.
        batch_size: Transitions per update.
        discount: gamma.
        copy_every: Updates after which the target network becomes a copy.
        replay: Transitions that are kept.
        episodes: Parallel ones.
        horizon: Windows after which an episode ends.
        exploration: Share of random windows after the first epochs; it falls to it from 1.
        exploration_epochs: Passes over the images in which it falls, evenly.
        rate: Of Adam.
        clip: Largest norm of a gradient.
        prices: Least and greatest lambda; each episode draws one, evenly on a logarithmic scale.
        seed: Of all that is drawn.
    """

    updates: int = 2000
    batch_size: int = 32
    discount: float = 0.5
    copy_every: int = 10
    replay: int = 5000
    episodes: int = 8
    horizon: int = 12
    exploration: float = 0.1
    exploration_epochs: float = 5.0
    rate: float = 1e-3
    clip: float = 1.0
    prices: tuple[float, float] = (PRICES[0], PRICES[-1])
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.prices[0] <= self.prices[1]:
            raise ValueError(f"prices must be positive and rise, got {self.prices}: drawn on a logarithmic scale")
        if not 0 < self.exploration <= 1:
            raise ValueError(f"exploration must be a share of random windows in (0, 1], got {self.exploration}")
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount must be in [0, 1), got {self.discount}")

    def share_explored(self, epochs: float) -> float:
        """Returns the share of random windows after so many passes over the images."""
        left = max(0.0, 1 - epochs / self.exploration_epochs) if self.exploration_epochs else 0.0
        return self.exploration + (1 - self.exploration) * left


@dataclass(frozen=True, eq=False)
class ZoomCase:
    """One image to learn from.

    Attributes:
        cells: Shape (R, C): the accuracy-gain map of predicted gains, which the network sees.
        truth: True gains, which it is rewarded with.
        lattices: Windows to choose from.
    """

    cells: Numbers
    truth: BoxGains
    lattices: tuple[Lattice, ...]

    @property
    def grid(self) -> Grid:
        """Cells of the image."""
        return self.truth.grid


def true_return(truth: BoxGains, windows: Boxes, price: float) -> float:
    """Returns the true gain of windows (W, 4) of an image less the price of their pixels."""
    gained, cost = 0.0, 0.0
    for window in windows:
        rest = truth.without(window)
        gained, truth = gained + truth.total() - rest.total(), rest
        cost += float((window[2] - window[0]) * (window[3] - window[1])) / truth.grid.pixels
    return gained - price * cost


class Transition(NamedTuple):
    """A step of an episode, or several, stacked."""

    state: Tensor  # (B, R, C)
    price: Tensor  # (B,)
    action: Tensor  # (B,) int64: the number of the window, all sizes counted on
    reward: Tensor  # (B,)
    next_state: Tensor  # (B, R, C)


class Replay:
    """Keeps the last transitions of maps of one shape, as copies: what is changed later is not changed here.

    Args:
        capacity: Transitions kept; of maps of 36 x 64 cells, 5,000 are 92 MB.
        shape: Rows and columns of the maps.
    """

    def __init__(self, capacity: int, shape: tuple[int, int]) -> None:
        self._columns = Transition(
            torch.empty(capacity, *shape),
            torch.empty(capacity),
            torch.empty(capacity, dtype=torch.int64),
            torch.empty(capacity),
            torch.empty(capacity, *shape),
        )
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._columns.price))

    def add(self, state: Numbers, price: float, action: int, reward: float, next_state: Numbers) -> None:
        """Keeps one transition, in the place of the oldest if there are too many."""
        place = self._added % len(self._columns.price)
        self._columns.state[place] = torch.from_numpy(state)
        self._columns.price[place] = price
        self._columns.action[place] = action
        self._columns.reward[place] = reward
        self._columns.next_state[place] = torch.from_numpy(next_state)
        self._added += 1

    def draw(self, count: int, generator: np.random.Generator) -> Transition:
        """Returns ``count`` transitions, drawn with replacement."""
        rows = torch.from_numpy(generator.integers(len(self), size=count))
        return Transition(*(column[rows] for column in self._columns))


class _Episode(NamedTuple):
    case: ZoomCase
    cells: Numbers
    truth: BoxGains
    price: float
    step: int


@dataclass(frozen=True, eq=False)
class _Arena:
    """Images whose maps and windows have one shape, so that they share batches."""

    cases: list[ZoomCase]
    shapes: WindowShapes
    replay: Replay
    episodes: list[_Episode | None]


def train_qnet(qnet: nn.Module, cases: Sequence[ZoomCase], how: QLearning | None = None) -> list[float]:
    """Teaches a `modicum.detect.zoom.qnet.Qnet` on cached images; leaves it in evaluation mode.

    Returns:
        The loss of each update.

    Raises:
        ValueError: If there are no images.
        DivergedError: If the loss is not a finite number.
    """
    if not cases:
        raise ValueError("a Q-net needs at least one image to learn from")
    learner = _Learner(qnet.train(), cases, how or QLearning())
    history = [learner.update(number) for number in range(learner.how.updates)]
    qnet.eval()
    return history


class _Learner:
    """Plays episodes and follows their rewards."""

    def __init__(self, qnet: nn.Module, cases: Sequence[ZoomCase], how: QLearning) -> None:
        self.qnet, self.how, self.num_cases = qnet, how, len(cases)
        self.target = deepcopy(qnet).eval()
        self.optimizer = torch.optim.Adam(qnet.parameters(), lr=how.rate)
        self.random = np.random.default_rng(how.seed)
        self.arenas = _arenas(cases, how)
        self.shares = np.array([len(arena.cases) for arena in self.arenas]) / len(cases)
        self.started = 0  # episodes

    def update(self, number: int) -> float:
        """Takes a step in each episode of some images of one shape, and one of the optimizer."""
        arena = self.arenas[self.random.choice(len(self.arenas), p=self.shares)]
        while len(arena.replay) < self.how.batch_size:  # each round adds a step, or draws other images
            self._play(arena)
        self._play(arena)
        loss = self._loss(arena.replay.draw(self.how.batch_size, self.random), arena.shapes)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.qnet.parameters(), self.how.clip)
        self.optimizer.step()
        if (number + 1) % self.how.copy_every == 0:
            self.target.load_state_dict(self.qnet.state_dict())
        if not np.isfinite(value := float(loss.detach())):
            raise DivergedError(f"the loss of the Q-net is {value} after {number + 1} updates: lower the rate")
        return value

    def _loss(self, batch: Transition, shapes: WindowShapes) -> Tensor:
        with torch.no_grad():
            best = self.target(batch.next_state, batch.price, shapes).amax(1)
            wanted = batch.reward + self.how.discount * best.clamp(min=0)  # to stop is worth 0
        taken = self.qnet(batch.state, batch.price, shapes).gather(1, batch.action[:, None])[:, 0]
        return F.huber_loss(taken, wanted)

    def _play(self, arena: _Arena) -> None:
        """Takes one step in each episode; those that stop or are over make room for others."""
        playing = [episode or self._start(arena) for episode in arena.episodes]
        states = torch.from_numpy(np.stack([episode.cells for episode in playing])).float()
        with torch.no_grad():
            values = self.qnet(states, torch.tensor([episode.price for episode in playing]), arena.shapes)
        explored = self.how.share_explored(self.started / self.num_cases)
        for place, (episode, own) in enumerate(zip(playing, values, strict=True)):
            if self.random.random() < explored:
                arena.episodes[place] = self._look(arena, episode, int(self.random.integers(len(own))))
            elif float(own.max()) > 0:
                arena.episodes[place] = self._look(arena, episode, int(own.argmax()))
            else:
                arena.episodes[place] = None

    def _start(self, arena: _Arena) -> _Episode:
        case = arena.cases[self.random.integers(len(arena.cases))]
        low, high = np.log(self.how.prices)
        self.started += 1
        return _Episode(case, case.cells, case.truth, float(np.exp(self.random.uniform(low, high))), 0)

    def _look(self, arena: _Arena, episode: _Episode, action: int) -> _Episode | None:
        """Looks at a window; returns the episode as it goes on, None at its horizon."""
        window = _window(episode.case.lattices, action)
        reward = true_return(episode.truth, window[None], episode.price)
        cells = clear(episode.cells, episode.case.grid, window)
        arena.replay.add(episode.cells, episode.price, action, reward, cells)
        if episode.step + 1 == self.how.horizon:
            return None
        return episode._replace(cells=cells, truth=episode.truth.without(window), step=episode.step + 1)


def mean_return(cases: Sequence[ZoomCase], windows: Sequence[Boxes], price: float) -> float:
    """Returns the mean true return at a price of the windows chosen in each image."""
    pairs = zip(cases, windows, strict=True)
    return float(np.mean([true_return(case.truth, own, price) for case, own in pairs]))


def _arenas(cases: Sequence[ZoomCase], how: QLearning) -> list[_Arena]:
    by_shape: dict[tuple[tuple[int, int], WindowShapes], list[ZoomCase]] = {}
    for case in cases:
        key = ((case.grid.rows, case.grid.columns), window_shapes(case.grid, case.lattices))
        by_shape.setdefault(key, []).append(case)
    arenas = []
    for (shape, windows), alike in by_shape.items():
        capacity = max(how.batch_size, how.replay * len(alike) // len(cases))
        arenas.append(_Arena(alike, windows, Replay(capacity, shape), [None] * how.episodes))
    return arenas


def _window(lattices: Sequence[Lattice], action: int) -> Numbers:
    """Returns the window (4,) of this number, all sizes counted on."""
    for lattice in lattices:
        if action < len(lattice):
            return lattice.window(action)
        action -= len(lattice)
    raise IndexError("no window has this number")
