"""Which mask belongs to which image, in the layouts in which the known sets are published."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from modicum.imaging.files import SPLIT_NAMES, is_image_name
from modicum.storage.errors import DataError

_MAX_NAMED = 5


@dataclass(frozen=True)
class Layout:
    """Where a set keeps images and masks, as folders relative to a common one; case does not matter.

    Attributes:
        title: Whose layout it is.
        images: Folder of the images.
        masks: Folder of the masks; the same as ``images`` where both stand together, images then being ``.jpg``.
        is_graded: Masks hold shares of annotators and are cut at a half.
    """

    title: str
    images: str
    masks: str
    is_graded: bool = False


LAYOUTS = (
    Layout("images and masks", "images", "masks"),
    Layout("ECSSD", "images", "ground_truth_mask"),
    Layout("DUTS", "duts-tr-image", "duts-tr-mask"),
    Layout("DUTS", "duts-te-image", "duts-te-mask"),
    Layout("DUT-OMRON", "dut-omron-image", "pixelwisegt-new-png"),
    Layout("HKU-IS", "imgs", "gt"),
    Layout("PASCAL-S", "imgs/pascal", "masks/pascal", is_graded=True),
    Layout("images and gt", "images", "gt"),
    Layout("image and mask", "image", "mask"),
    Layout("MSRA", "imgs", "imgs"),
)
LISTS = {
    "train.txt": "train",
    "val.txt": "calibration",
    "test.txt": "test",
    "trainImgSet.txt": "train",
    "valImgSet.txt": "calibration",
    "testImgSet.txt": "test",
}
"""Files beside the images' folder, one image name a line, that say which part an image belongs to (HKU-IS, our own)."""

_PART_FOLDERS = {**SPLIT_NAMES, "duts-tr": "train", "duts-te": "test"}
_PART_OF_LAYOUT = {"duts-tr-image": "train", "duts-te-image": "test"}
_JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
        image: Name of the image, which also names the pair.
        mask: Name of the mask.
        split: ``"train"``, ``"calibration"`` or ``"test"`` where the set says so, else None.
        is_graded: The mask is to be cut at a half.
    """

    image: str
    mask: str
    split: str | None = None
    is_graded: bool = False


def find_pairs(names: Iterable[str], origin: str) -> list[Pair]:
    """The pairs among some files, sorted by image.

    Args:
        names: Relative paths with ``/``.
        origin: What to call the set in messages.

    Raises:
        DataError: If no layout fits, or an image lacks its mask or a mask its image.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if is_image_name(PurePosixPath(name).name):
            folders[str(PurePosixPath(name).parent)].append(name)
    pairs = [pair for images, masks, layout in _fitting(folders) for pair in _match(images, masks, layout, origin)]
    if not pairs:
        raise DataError(
            f"{origin} holds no images with masks; it can have the layout of {_known_layouts()}, whole or in folders "
            f"or archives named train, val and test"
        )
    return sorted(pairs, key=lambda pair: pair.image)


def assign_lists(pairs: Sequence[Pair], lists: Mapping[str, str], origin: str) -> list[Pair]:
    """The pairs that lists of image names put into a part, in their order; all pairs if there is no list.

    Args:
        pairs: The pairs.
        lists: Text of each list by its file name, see `LISTS`.
        origin: What to call the set in messages.

    Raises:
        DataError: If a list names an image that is not there.
    """
    if not lists:
        return list(pairs)
    part_of = {
        PurePosixPath(line.split()[0]).stem: LISTS[name] for name, text in lists.items() for line in _lines(text)
    }
    present = {PurePosixPath(pair.image).stem for pair in pairs}
    if missing := [stem for stem in part_of if stem not in present]:
        raise DataError(f"{origin}: {_some(missing)} stand in its lists, but not among its images")
    stems = ((pair, PurePosixPath(pair.image).stem) for pair in pairs)
    return [replace(pair, split=part_of[stem]) for pair, stem in stems if stem in part_of]


def _fitting(folders: Mapping[str, list[str]]) -> Iterator[tuple[list[str], list[str], Layout]]:
    """Folders of images with those of their masks; of several layouts that fit a folder the first counts."""
    by_case = {folder.casefold(): folder for folder in folders}
    taken: set[str] = set()
    for layout in LAYOUTS:
        for lower, folder in by_case.items():
            base = _base(lower, layout.images)
            if base is None or folder in taken:
                continue
            masks = by_case.get(f"{base}{layout.masks}")
            if masks is None or (masks == folder and not _holds_both(folders[folder])):
                continue
            taken |= {folder, masks}
            yield folders[folder], folders[masks], layout


def _base(folder: str, tail: str) -> str | None:
    """What stands before ``tail`` in a path, with its slash; None if the path does not end so."""
    if folder == tail:
        return ""
    return folder.removesuffix(tail) if folder.endswith(f"/{tail}") else None


def _holds_both(names: Sequence[str]) -> bool:
    jpegs = [name for name in names if name.lower().endswith(_JPEG)]
    return 0 < len(jpegs) < len(names)


def _match(images: list[str], masks: list[str], layout: Layout, origin: str) -> Iterator[Pair]:
    if images is masks:
        images = [name for name in images if name.lower().endswith(_JPEG)]
        masks = [name for name in masks if not name.lower().endswith(_JPEG)]
    mask_of = {PurePosixPath(name).stem: name for name in masks}
    image_of = {PurePosixPath(name).stem: name for name in images}
    if missing := [name for stem, name in image_of.items() if stem not in mask_of]:
        raise DataError(f"{origin}: {_some(missing)} lack(s) a mask of that name in {PurePosixPath(masks[0]).parent}")
    if missing := [name for stem, name in mask_of.items() if stem not in image_of]:
        raise DataError(
            f"{origin}: {_some(missing)} lack(s) an image of that name in {PurePosixPath(images[0]).parent}"
        )
    for stem, image in image_of.items():
        yield Pair(image, mask_of[stem], _part_of(image, layout), layout.is_graded)


def _part_of(image: str, layout: Layout) -> str | None:
    """The part that a path tells: the nearest folder, or archive with a number behind its name, that names one."""
    folders = [folder.casefold().rstrip("0123456789") for folder in PurePosixPath(image).parts[:-1]]
    known = (_PART_FOLDERS.get(folder) for folder in reversed(folders))
    return _PART_OF_LAYOUT.get(layout.images) or next((part for part in known if part), None)


def _known_layouts() -> str:
    return "; ".join(f"{layout.images}/ with {layout.masks}/ ({layout.title})" for layout in LAYOUTS)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"
