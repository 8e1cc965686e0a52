"""Reads annotations of PASCAL VOC: an XML file for each picture (Everingham et al., 2010).

Files are parsed by expat with every document type refused, so that no entity can be declared or expanded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from modicum.datasets.listings import Listing
from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.detect.data.annotations import (
    Annotations,
    Box,
    PictureFinder,
    StatedBox,
    StatedPicture,
    check_corners,
    check_numbers,
    decode_text,
    merge_pictures,
    part_of,
)
from modicum.storage.errors import DataError

TITLE = "VOC XML"

_LINE = "line of the file"  # a name that no attribute in a file can have
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_RIGHT = "bndbox must hold xmin, ymin, xmax and ymax in pixels"


class _Object(NamedTuple):
    """An object of a file: its class by name, as classes are numbered when all files are read."""

    name: str
    box: Box
    place: str
    is_ignored: bool


def is_voc(content: bytes) -> bool:
    """Tells whether a file is an annotation of VOC, by its beginning."""
    return b"<annotation" in content[:2000]


def read_voc(listing: Listing, files: Iterable[str], origin: str) -> Annotations:
    """Reads annotations in the format of VOC; classes are sorted by name, ``difficult`` objects are ignored ones.

    VOC counts pixels from 1 and includes the last one, so that 1 is taken from the left and top edges; but not in sets
    in which an edge is 0, as some programs write them. Lists in ``ImageSets/Main`` say what a picture is for.

    Args:
        listing: The files of the set.
        files: Names of the annotations in the listing.
        origin: What to call the set in messages.

    Raises:
        DataError: If a file cannot be used; the message names it, the line, and says what would be right.
    """
    finder = PictureFinder(listing.images, origin)
    found: dict[str, tuple[list[_Object], StatedPicture]] = {}
    for file in files:
        root = parse_xml(listing.read(file), file)
        name = _picture_of(root, file, listing, finder)
        if name in found:
            raise DataError(f"{file} annotates {name!r}, as another file does: keep one of them")
        found[name] = list(_objects(root, file)), StatedPicture(name, size=_size(root, file), split=part_of(file))
    classes = tuple(sorted({each.name for objects, _ in found.values() for each in objects}))
    if not classes:
        raise DataError(f"{origin}: none of its {len(found)} annotations holds an object")
    label_of = {name: label for label, name in enumerate(classes)}
    shift = 0 if any(min(each.box[:2]) < 1 for objects, _ in found.values() for each in objects) else 1
    parts = _listed_parts(listing)
    pictures = [
        replace(
            picture,
            boxes=tuple(
                StatedBox(_shifted(each.box, shift), label_of[each.name], each.place, is_ignored=each.is_ignored)
                for each in objects
            ),
            split=parts.get(PurePosixPath(name).stem, picture.split),
        )
        for name, (objects, picture) in found.items()
    ]
    return Annotations(TITLE, classes, merge_pictures(pictures, origin))


def parse_xml(content: bytes, file: str) -> Element:
    """Parses an XML file without entities; elements have the number of their line under a name of its own.

    Raises:
        DataError: If it is no XML, or declares a document type, which annotations do not need and attacks do.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise DataError(
            f"{file}, line {parser.CurrentLineNumber}: it declares a document type, which no annotation needs and "
            "which can hold harmful entities: remove the line"
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, str(error))
        raise DataError(f"{file}, line {error.lineno}: not XML: {reason}") from error
    root = builder.close()
    if root.tag != "annotation":
        raise DataError(f"{file}: the outermost element of an annotation must be <annotation>, got <{root.tag}>")
    return root


def _picture_of(root: Element, file: str, listing: Listing, finder: PictureFinder) -> str:
    """Finds the picture of an annotation: of its own name, as VOC has it, or else the one that it states."""
    path = PurePosixPath(file)
    folders = {str(path.parent), str(path.parent.parent / "JPEGImages"), str(path.parent.parent / "images")}
    own = [n for n in listing.images if PurePosixPath(n).stem == path.stem and str(PurePosixPath(n).parent) in folders]
    if len(own) == 1:
        return own[0]
    stated = (root.findtext("filename") or "").strip()
    if not stated:
        raise DataError(f"{file} states no filename, and no picture of its name is beside it or in JPEGImages: add it")
    return finder.find(stated, sorted(folders), file)


def _objects(root: Element, file: str) -> Iterable[_Object]:
    for element in root.iter("object"):
        place = f"{file}, line {element.get(_LINE)}"
        name, bounds = (element.findtext("name") or "").strip(), element.find("bndbox")
        if not name:
            raise DataError(f"{place}: the object has no <name>: state its class")
        if bounds is None:
            raise DataError(f"{place}: the object has no <bndbox>: {_RIGHT}")
        box = check_numbers([bounds.findtext(edge) for edge in _EDGES], place, _RIGHT)
        difficult = (element.findtext("difficult") or "0").strip()
        yield _Object(name, check_corners(box, place, _RIGHT), place, difficult == "1")


def _size(root: Element, file: str) -> tuple[int, int] | None:
    """Returns the stated width and height; None where they are left out, or zero as some programs write them."""
    stated = [root.findtext(f"size/{side}") or "0" for side in ("width", "height")]
    width, height = check_numbers(stated, file, "size must hold width and height in pixels")
    return (round(width), round(height)) if width > 0 and height > 0 else None


def _shifted(box: Box, shift: int) -> Box:
    left, top, right, bottom = box
    return left - shift, top - shift, right, bottom


def _listed_parts(listing: Listing) -> Mapping[str, Part]:
    """Returns the part of each picture that a list in ``ImageSets/Main`` names, by its name without suffix.

    The lists of a class (``car_train.txt``) are not read. ``trainval`` says nothing that ``train`` and ``val`` do not.
    """
    parts: dict[str, Part] = {}
    for name in listing.names:
        path = PurePosixPath(name)
        if path.parts[-3:-1] == ("ImageSets", "Main") and path.suffix == ".txt" and path.stem in SPLIT_NAMES:
            for line in decode_text(listing.read(name), name).splitlines():
                if words := line.split():
                    parts.setdefault(words[0], SPLIT_NAMES[path.stem])
    return parts
