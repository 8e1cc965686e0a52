"""The Pareto front of a search: the graphs that no other beats in both complexity and loss."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modicum.graphs.graph import Graph
from modicum.graphs.graph_files import from_json, to_json
from modicum.storage.files import JSON


@dataclass(frozen=True)
class Member:
    """A graph of the front, its complexity, and its mean loss on the points that the bound is held on."""

    complexity: int
    loss: float
    graph: Graph


class Front:
    """Members by rising complexity and strictly falling loss; none is beaten by another."""

    def __init__(self) -> None:
        self._members: list[Member] = []

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> bool:
        """Adds a member unless an equally small one is as good; drops the members that it beats.

        Returns:
            Whether it was taken.
        """
        at_most = bisect_right(self._members, member.complexity, key=lambda known: known.complexity)
        if at_most and self._members[at_most - 1].loss <= member.loss:
            return False
        first = bisect_left(self._members, member.complexity, key=lambda known: known.complexity)
        rest = [known for known in self._members[first:] if known.loss < member.loss]
        self._members[first:] = [member, *rest]
        return True

    def smallest(self, max_loss: float) -> Member:
        """Returns the least complex member with at most this loss, or else the member with the lowest loss.

        Raises:
            LookupError: If the front is empty.
        """
        self._refuse_empty()
        return next((member for member in self._members if member.loss <= max_loss), self._members[-1])

    def most_accurate(self, max_complexity: int) -> Member:
        """Returns the member with the lowest loss of at most this complexity, or else the least complex one.

        Raises:
            LookupError: If the front is empty.
        """
        self._refuse_empty()
        return next(
            (member for member in reversed(self._members) if member.complexity <= max_complexity), self._members[0]
        )

    def to_json(self) -> list[JSON]:
        """Returns the members as plain data."""
        return [{"complexity": m.complexity, "loss": m.loss, "graph": to_json(m.graph)} for m in self._members]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> "Front":
        """Rebuilds a front from the result of `to_json`."""
        front = cls()
        for entry in content:
            front.add(Member(entry["complexity"], entry["loss"], from_json(entry["graph"])))
        return front

    def _refuse_empty(self) -> None:
        if not self._members:
            raise LookupError("the front is empty: no graph has been fitted yet")
