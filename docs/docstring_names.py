"""Lets docstrings refer to names as their modules know them: `Failure` leads to the class that the module imports.

A Sphinx extension. A name that is on no page becomes plain text; one that does not exist is left to Sphinx, which warns
of it. Names that modules import for type checkers alone are imported, so that annotations lead somewhere, too. Fields
of a NamedTuple are described by the comments beside them.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from docutils.nodes import Element, reference
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import modicum


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("builder-inited", lambda app: import_for_checkers())
    app.connect("missing-reference", find_name)
    app.connect("autodoc-process-docstring", describe_field)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def import_for_checkers() -> None:
    """Executes, in every module of the package, what it imports below ``if TYPE_CHECKING``."""
    names = [info.name for info in pkgutil.walk_packages(modicum.__path__, "modicum.")]
    modules = [modicum, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]
    for module in modules:  # once all are imported, so that no circle is left
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                for statement in node.body:
                    with suppress(ModuleNotFoundError):  # _typeshed exists for type checkers alone
                        exec(compile(ast.Module([statement], []), str(module.__file__), "exec"), vars(module))


def find_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element) -> reference | Element | None:
    """Resolves a reference that Sphinx could not: a link, the name as plain text, or None if there is no such name."""
    if node.get("refdomain") != "py":
        return None
    documented, target = env.domains.python_domain.objects, node["reftarget"]
    try:
        found = look_up(target, node.get("py:module"), node.get("py:class"))
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    except AttributeError:  # its module does not import it: a verb, or the only thing of that name
        homes = [name for name in documented if name.endswith(f".{target}")]
        home = f"modicum.{target}"
        if home not in homes and len({documented[name].node_id for name in homes}) != 1:
            return None
        home = home if home in homes else homes[0]
    entry = documented.get(home)
    if entry is None or app.builder is None:
        return content
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, home)


def describe_field(app: Sphinx, kind: str, name: str, field: object, options: object, lines: list[str]) -> None:
    """Puts the comment beside a field of a NamedTuple, such as its shape, in place of its number."""
    if kind == "attribute" and lines and lines[0].startswith("Alias for field number"):
        owner, _, field_name = name.rpartition(".")
        source = inspect.getsource(pkgutil.resolve_name(owner))
        comment = re.search(rf"^ +{field_name}: [^#\n]*# *(.+)$", source, flags=re.MULTILINE)
        lines[:] = [comment[1]] if comment else []


def look_up(target: str, module: str | None, owner: str | None) -> Any:  # noqa: ANN401  whatever has a name
    """Returns what a dotted name means in a class of a module, where that class is defined, in the module, or anywhere.

    Raises:
        AttributeError: If it means nothing.
    """
    if target.startswith("typing."):  # a part of an annotation, perhaps cut in pieces
        return None
    for start in _places(module, owner):
        try:
            return _member(start, target)
        except AttributeError:
            continue
    home, _, name = target.rpartition(".")
    try:
        return _member(pkgutil.resolve_name(home), name) if home else importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise AttributeError(f"{target} means nothing in {module}") from error


def _places(module: str | None, owner: str | None) -> Iterator[Any]:
    """Yields what the names in a docstring can be members of: its class, the class's own module, its module."""
    if module and owner:
        documented = pkgutil.resolve_name(f"{module}:{owner}")
        yield documented
        yield importlib.import_module(documented.__module__)
    if module:
        yield importlib.import_module(module)


def _member(place: Any, dotted: str) -> Any:  # noqa: ANN401  likewise
    """Returns an attribute of an attribute; a field of a dataclass without a default counts, as None."""
    for name in dotted.split("."):
        if any(name in vars(kind).get("__annotations__", {}) for kind in getattr(place, "__mro__", ())):
            return None
        place = getattr(place, name)
    return place
