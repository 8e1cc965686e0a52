"""Tells how far a training is: stage 2 of 5, about 3 min left."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LINE_PAUSE_S = 5.0
"""Between two lines after epochs, at least."""
LONG_PAUSE_S = 60.0
"""Between two lines within an epoch, or of a search, at least."""
_SHARE_OF_ELAPSED = 0.01  # ten hours make a few hundred lines, not thousands


@dataclass(frozen=True)
class StagePlan:
    """The stages of a training in their order, known before the first begins.

    Attributes:
        epochs: Passes of each stage over its data, by its name.
    """

    epochs: Mapping[str, int]

    def place(self, stage: str) -> str:
        """Returns which of the stages this is: "stage 2 of 5".

        Raises:
            ValueError: If the stage is not among them.
        """
        names = list(self.epochs)
        if stage not in names:
            raise ValueError(f"stage {stage!r} is not planned; the stages are {', '.join(names)}")
        return f"stage {names.index(stage) + 1} of {len(names)}"

    def epochs_after(self, stage: str) -> int:
        """Returns the epochs of the stages that follow this one."""
        names = list(self.epochs)
        return sum(self.epochs[name] for name in names[names.index(stage) + 1 :])


class Rhythm:
    """Says when the next line of progress is due: often at first, ever more rarely in a long training.

    Args:
        pause_s: Between two lines, at least; later 1 % of the time since the start.
        clock: Seconds since any moment.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.pause_s, self.clock = pause_s, clock
        self.start = self.last = clock()

    def is_due(self) -> bool:
        """Tells whether a line may be shown now; if so, it counts as shown."""
        now = self.clock()
        if now - self.last < max(self.pause_s, _SHARE_OF_ELAPSED * (now - self.start)):
            return False
        self.last = now
        return True


def time_left(seconds: float) -> str:
    """Tells a rough time: "less than 1 min left", "about 3 min left", "about 2 h 10 min left"; "done" for none."""
    minutes = round(seconds / 60)
    if seconds <= 0:
        return "done"
    if seconds < 45:
        return "less than 1 min left"
    if minutes < 60:
        return f"about {max(1, minutes)} min left"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    if hours < 24:
        return f"about {hours} h {rest} min left" if rest else f"about {hours} h left"
    days = round(minutes / (24 * 60), 1)
    return f"about {days:g} days left" if days != 1 else "about 1 day left"


class Countdown:
    """Reports, now and then, how much of some work is done, and how long the rest will take.

    Args:
        what: The work, e.g. "features of images".
        total: Its units.
        tell: Shows a line.
    """

    def __init__(self, what: str, total: int, tell: Callable[[str], object]) -> None:
        self.what, self.total, self.tell, self.done = what, total, tell, 0
        self.rhythm = Rhythm(LINE_PAUSE_S)

    def advance(self, units: int = 1) -> None:
        """Counts units as done, and reports progress if it is time."""
        self.done += units
        if self.done == self.total or self.rhythm.is_due():
            passed = self.rhythm.clock() - self.rhythm.start
            left = passed / self.done * (self.total - self.done)
            self.tell(f"{self.what}: {self.done:,} of {self.total:,}  ({time_left(left)})")
