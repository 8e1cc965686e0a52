"""Which mask belongs to which image, in the layouts in which the known sets are published."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from posixpath import commonpath

from modicum.datasets.sources import SPLIT_NAMES, Part
from modicum.imaging.files import is_image_name
from modicum.storage.errors import DataError, first_few

log = logging.getLogger(__name__)


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
LISTS: Mapping[str, Part] = {
    "train.txt": "train",
    "val.txt": "calibration",
    "test.txt": "test",
    "trainImgSet.txt": "train",
    "valImgSet.txt": "calibration",
    "testImgSet.txt": "test",
}
"""Files beside the images' folder, one image name a line, that say which part an image belongs to (HKU-IS, our own)."""

_PART_FOLDERS: Mapping[str, Part] = {**SPLIT_NAMES, "duts-tr": "train", "duts-te": "test"}
_PART_OF_LAYOUT: Mapping[str, Part] = {"duts-tr-image": "train", "duts-te-image": "test"}
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


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
    split: Part | None = None
    is_graded: bool = False

    @property
    def base(self) -> str:
        """The folder in which the folders of images and masks stand, and with them the lists of both."""
        image, mask = (str(PurePosixPath(name).parent) for name in (self.image, self.mask))
        return str(PurePosixPath(image).parent if image == mask else PurePosixPath(commonpath((image, mask))))


def find_pairs(names: Iterable[str], origin: str) -> list[Pair]:
    """Finds the pairs among some files, sorted by image; logs image folders that fit no layout as left out.

    Args:
        names: Relative paths with ``/``.
        origin: What to call the set in messages.

    Raises:
        DataError: If no layout fits, an image lacks its mask or a mask its image, or two in one folder share a name.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if is_image_name(PurePosixPath(name).name):
            folders[str(PurePosixPath(name).parent)].append(name)
    fitting = list(_fitting(folders))
    pairs = [
        pair for images, masks, layout in fitting for pair in _match(folders[images], folders[masks], layout, origin)
    ]
    if not pairs:
        raise DataError(
            f"{origin} holds no images with masks; it can have the layout of {_known_layouts()}, whole or in folders "
            f"or archives named train, val and test"
        )
    used = {folder for images, masks, _ in fitting for folder in (images, masks)}
    if unused := sorted(set(folders) - used):
        log.warning("left out %s of %s: images are there, but no layout that is known", first_few(unused), origin)
    return sorted(pairs, key=lambda pair: pair.image)


def assign_lists(pairs: Sequence[Pair], lists: Mapping[str, str], origin: str) -> list[Pair]:
    """Returns the pairs that lists of image names assign to a part, in their order.

    A list speaks of the images of the folder that it stands in, see `Pair.base`: there it chooses the images as well as
    their parts. Where no list stands, pairs stay as they are.

    Args:
        pairs: The pairs.
        lists: Text of each list by its relative path, whose last part is in `LISTS`.
        origin: What to call the set in messages.

    Raises:
        DataError: If lists name an image that is not beside them, or one image for two parts.
    """
    part_of: dict[tuple[str, str], Part] = {}
    for path, text in sorted(lists.items()):
        folder, part = str(PurePosixPath(path).parent), LISTS[PurePosixPath(path).name]
        for stem in _listed_stems(text):
            if part_of.setdefault((folder, stem), part) != part:
                raise DataError(
                    f"{origin}: the lists in {folder} name {stem!r} for {part_of[folder, stem]} and for {part}: "
                    "take it out of one of them"
                )
    keys = [(pair.base, PurePosixPath(pair.image).stem) for pair in pairs]
    if missing := [str(PurePosixPath(*key)) for key in part_of.keys() - set(keys)]:
        raise DataError(
            f"{origin}: {first_few(sorted(missing))} stand in its lists, but not among its images; a list must stand "
            "beside the folder of its images, and names one a line"
        )
    with_lists = {str(PurePosixPath(path).parent) for path in lists}
    return [
        replace(pair, split=part_of.get(key, pair.split))
        for pair, key in zip(pairs, keys, strict=True)
        if key in part_of or pair.base not in with_lists
    ]


def _fitting(folders: Mapping[str, list[str]]) -> Iterator[tuple[str, str, Layout]]:
    """Yields folders of images with the folders of their masks; the first layout that fits counts."""
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
            yield folder, masks, layout


def _base(folder: str, tail: str) -> str | None:
    """Returns the path before ``tail``, with its slash; None if the path does not end with it."""
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
    mask_of, image_of = _by_stem(masks, origin), _by_stem(images, origin)
    if missing := [name for stem, name in image_of.items() if stem not in mask_of]:
        raise DataError(
            f"{origin}: {first_few(missing)} lack(s) a mask of that name in {PurePosixPath(masks[0]).parent}"
        )
    if missing := [name for stem, name in mask_of.items() if stem not in image_of]:
        raise DataError(
            f"{origin}: {first_few(missing)} lack(s) an image of that name in {PurePosixPath(images[0]).parent}"
        )
    for stem, image in image_of.items():
        yield Pair(image, mask_of[stem], _part_of(image, layout), layout.is_graded)


def _by_stem(names: Sequence[str], origin: str) -> dict[str, str]:
    stems = [PurePosixPath(name).stem for name in names]
    counts = Counter(stems)
    if double := [name for name, stem in zip(names, stems, strict=True) if counts[stem] > 1]:
        raise DataError(
            f"{origin}: {first_few(double)} differ in their suffixes alone, so that images and masks do not pair off: "
            "rename or remove all but one of a name"
        )
    return dict(zip(stems, names, strict=True))


def _part_of(image: str, layout: Layout) -> Part | None:
    """Returns the part that a path tells: by the nearest folder or numbered archive that names one."""
    folders = [folder.casefold().rstrip("0123456789") for folder in PurePosixPath(image).parts[:-1]]
    known = (_PART_FOLDERS.get(folder) for folder in reversed(folders))
    return _PART_OF_LAYOUT.get(layout.images) or next((part for part in known if part), None)


def _known_layouts() -> str:
    return "; ".join(f"{layout.images}/ with {layout.masks}/ ({layout.title})" for layout in LAYOUTS)


def _listed_stems(text: str) -> Iterator[str]:
    """Yields the names in a list; names may contain spaces and dots, and end with image suffixes."""
    for line in filter(None, map(str.strip, text.splitlines())):
        path = PurePosixPath(line)
        yield path.stem if is_image_name(path.name) else path.name
