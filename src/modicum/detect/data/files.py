"""Sets of pictures with annotations in files: which format they have, and how a picture and its boxes are read."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from modicum.datasets.contents import content_digest
from modicum.datasets.listings import Listing, list_files, list_folder
from modicum.detect.data.annotations import Annotations
from modicum.detect.data.groups import find_groups
from modicum.detect.data.json_files import COCO, PLAIN, kind_of, load_json, read_coco, read_plain
from modicum.detect.data.placing import place_objects, read_frame
from modicum.detect.data.sources import BoxFaults, DetectionSource, Record, Sample
from modicum.detect.data.tables import TITLE as CSV
from modicum.detect.data.tables import is_table, read_tables
from modicum.detect.data.voc import TITLE as VOC
from modicum.detect.data.voc import is_voc, read_voc
from modicum.detect.data.yolo import CLASS_FILES, describes_dataset, finds_labels, is_dataset_file, read_yolo
from modicum.detect.data.yolo import TITLE as YOLO
from modicum.imaging.decoding import decode_pixels
from modicum.storage.counting import counted
from modicum.storage.errors import DataError, first_few

ACCEPTED = (
    "a folder or uncompressed .tar of pictures with annotations, or the file of annotations: COCO JSON; YOLO text with "
    "data.yaml, classes.txt or obj.names; VOC XML; CSV with the columns path,class,xmin,ymin,xmax,ymax"
)
"""Says in messages what a set of pictures with boxes can be."""

_ANNOTATION_SUFFIXES = (".json", ".csv", ".yaml", ".yml", ".xml", ".names", ".txt")


@final
class AnnotatedFiles(DetectionSource):
    """Pictures and annotations in files or uncompressed tar archives; the format is found by what the files hold.

    Args:
        path: A folder, a folder of archives, an archive, or one file of annotations whose pictures are beside it or in
            the folder above.

    Raises:
        DataError: If there are no annotations, those of several formats, or some that cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        root, only = _root_of(Path(path))
        self.origin = str(path)
        self._listing = list_files(root, ACCEPTED)
        found = _read(self._listing, only, self.origin)
        self._pictures = found.pictures
        self.classes, self.title = found.classes, found.title
        groups = find_groups([picture.name for picture in found.pictures])
        self.records = tuple(
            Record(picture.name, picture.split, group) for picture, group in zip(found.pictures, groups, strict=True)
        )
        self.unread = self._listing.unread
        self.name = (
            f"{counted(len(self.records), 'picture')} of {root.resolve().name} with boxes of "
            f"{counted(len(self.classes), 'class', 'classes')}, {found.title}"
        )

    def sample(self, index: int) -> Sample:
        """Returns the picture with its size and objects; see `DetectionSource.sample`."""
        picture = self._pictures[index]
        frame = read_frame(self._content(index))
        objects, _ = place_objects(picture, frame)
        return Sample(picture.name, partial(self._listing.read, picture.name), frame.size, objects)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Returns the decoded picture; see `DetectionSource.pixels`."""
        return decode_pixels(self._content(index))

    def faults(self, index: int) -> BoxFaults:
        """Counts faulty boxes; see `DetectionSource.faults`."""
        return place_objects(self._pictures[index], read_frame(self._content(index)))[1]

    def digest(self, index: int) -> str:
        """Returns the digest of the picture's file; see `DetectionSource.digest`."""
        return content_digest(self._content(index))

    def _content(self, index: int) -> bytes:
        return self._listing.read(self._pictures[index].name)


def _root_of(path: Path) -> tuple[Path, str | None]:
    """Returns the folder or archive to list, and the one file of annotations in it that a user names, if any."""
    if not path.is_file() or path.suffix.lower() not in _ANNOTATION_SUFFIXES:
        return path, None
    # COCO and VOC keep annotations in a folder of their own, beside those of the pictures.
    folder = path.parent if _holds_pictures(path.parent) else path.parent.parent
    return folder, path.relative_to(folder).as_posix()


def _holds_pictures(folder: Path) -> bool:
    return bool(list_folder(folder).images)


def _read(listing: Listing, only: str | None, origin: str) -> Annotations:
    """Reads the annotations of a listing, in whatever format they are.

    Args:
        listing: The files of the set.
        only: The one file to read; None finds them.
        origin: What to call the set in messages.
    """
    names = listing.names if only is None else (only,)
    jsons = _find_json(listing, names)
    found: dict[str, tuple[list[str], Callable[[list[str]], Annotations]]] = {
        COCO: (
            _preferred([name for name in jsons if kind_of(jsons[name]) == COCO]),
            lambda files: read_coco(listing, {file: jsons[file] for file in files}, origin),
        ),
        PLAIN: (
            [name for name in jsons if kind_of(jsons[name]) == PLAIN],
            lambda files: read_plain(listing, {file: jsons[file] for file in files}, origin),
        ),
        YOLO: (_find_yolo(listing, names), lambda files: read_yolo(listing, _the_only(files, origin), origin)),
        VOC: (
            [name for name in names if name.lower().endswith(".xml") and is_voc(listing.read(name))],
            lambda files: read_voc(listing, files, origin),
        ),
        CSV: (
            [name for name in names if name.lower().endswith(".csv") and is_table(listing.read(name))],
            lambda files: read_tables(listing, files, origin),
        ),
    }
    present = {title: (files, read) for title, (files, read) in found.items() if files}
    if len(present) > 1:
        told = ", ".join(f"{title} ({first_few(files, 1)})" for title, (files, _) in present.items())
        raise DataError(f"{origin} holds annotations in several formats, {told}: name the file to use")
    if not present:
        held = first_few(list(names), 4) if names else "nothing"
        raise DataError(f"{origin} holds no annotations that can be read, but {held}; give {ACCEPTED}")
    files, read = next(iter(present.values()))
    return read(files)


def _find_json(listing: Listing, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Parses the JSON files of a listing; those that merely accompany pictures are few and small."""
    return {name: load_json(listing.read(name), name) for name in names if name.lower().endswith(".json")}


def _preferred(files: list[str]) -> list[str]:
    """Leaves out what COCO publishes beside the boxes of its pictures: keypoints and captions of the same ones."""
    instances = [file for file in files if PurePosixPath(file).name.startswith("instances_")]
    folders = {str(PurePosixPath(file).parent) for file in instances}
    return instances + [file for file in files if str(PurePosixPath(file).parent) not in folders]


def _find_yolo(listing: Listing, names: tuple[str, ...]) -> list[str]:
    """Finds the files that state the classes of a set of YOLO: YAML files before plain lists."""
    described = [name for name in names if is_dataset_file(name) and describes_dataset(listing.read(name))]
    if described or not finds_labels(listing.names):
        return described
    return [name for name in names if PurePosixPath(name).name in CLASS_FILES]


def _the_only(files: list[str], origin: str) -> str:
    """Returns the file that is nearest to the top; raises `DataError` if there are several."""
    depth = min(file.count("/") for file in files)
    top = [file for file in files if file.count("/") == depth]
    if len(top) > 1:
        raise DataError(f"{origin} is described by several files, {first_few(top)}: name the one to use")
    return top[0]
