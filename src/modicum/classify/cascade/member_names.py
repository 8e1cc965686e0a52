"""Reads what a user names as members of a cascade; no torch here, so that recipes can check it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from modicum.nn.weight_names import PUBLISHED, check_weights
from modicum.storage.errors import RecipeError

LibraryName = Literal["torchvision", "timm"]

MOST_CANDIDATES = 10
"""Members that a user may name: the search tries every cascade of a few of them."""
FORMS = "a run folder, FILE.onnx, timm:NAME, torchvision:NAME, or NAME=FILE"
"""Says in messages how a member may be named."""


@dataclass(frozen=True)
class MemberName:
    """A member as a user names it: ``[timm:|torchvision:]NAME[=FILE]``, ``FILE.onnx`` or a run, then ``@PX`` or not.

    Attributes:
        text: The name as it was given.
        kind: "network" is a network of this package, torchvision or timm by its name, with weights.
        place: Name of the network, or path of the file or run.
        weights: Of a network; see `modicum.nn.pretrained.read_pretrained`. None for files and runs.
        library: Library of the network; None looks here, then in torchvision, then in timm.
        size_px: Side of the images that it gets; None is its own.
    """

    text: str
    kind: Literal["network", "onnx", "run"]
    place: str
    weights: str | None = None
    library: LibraryName | None = None
    size_px: int | None = None

    @property
    def label(self) -> str:
        """Returns a short name for reports."""
        short = self.place if self.kind == "network" else Path(self.place).stem
        return short if self.size_px is None else f"{short} at {self.size_px} px"


def parse_member(text: str) -> MemberName:
    """Parses the name of a member; files and runs are not looked at.

    Raises:
        RecipeError: If it has none of the forms, or its weights are those of another network.
    """
    named, size = text, None
    if (sized := re.fullmatch(r"(.+)@(\d+)", text)) and not Path(text).exists():
        named, size = sized[1], int(sized[2])
        if size < 1:
            raise RecipeError(f"members: {text!r} asks for images of {size} px: give a side of at least 1")
    library, colon, rest = named.partition(":")
    if colon and library in get_args(LibraryName):
        name, given, weights = rest.partition("=")
        return _network(
            text, name, weights if given else PUBLISHED, "timm" if library == "timm" else "torchvision", size
        )
    if named.lower().endswith(".onnx") and "=" not in named:
        return MemberName(text, "onnx", named, size_px=size)
    name, given, weights = named.partition("=")
    if given and not Path(named).exists():
        return _network(text, name, weights, None, size)
    if not named or (re.fullmatch(r"[\w.]+", named) and not Path(named).exists()):
        raise RecipeError(f"members: {text!r} is neither a file nor a run here; a member is {FORMS}")
    return MemberName(text, "run", named, size_px=size)


def check_members(members: Sequence[str]) -> None:
    """Checks the members of a recipe.

    Raises:
        RecipeError: If there is one alone, too many, the same twice, or one that has none of the forms.
    """
    if not 2 <= len(members) <= MOST_CANDIDATES:
        raise RecipeError(
            f"members must be from 2 to {MOST_CANDIDATES} networks, got {len(members)}: {members[0]}, ..."
        )
    if twice := sorted({member for member in members if members.count(member) > 1}):
        raise RecipeError(f"members must differ, but {twice[0]} is named twice; one network at two sizes is NAME@PX")
    for member in members:
        parse_member(member)


def _network(text: str, name: str, weights: str, library: LibraryName | None, size: int | None) -> MemberName:
    if not name or not weights:
        raise RecipeError(f"members: {text!r} lacks a {'network' if not name else 'file'}; a member is {FORMS}")
    check_weights(weights, name, "members")
    return MemberName(text, "network", name, weights, library, size)
