import pytest

from modicum.saliency.data.pairs import Pair, assign_lists, find_pairs
from modicum.storage.errors import DataError

LAYOUTS = [
    (["images/a.jpg", "masks/a.png"], Pair("images/a.jpg", "masks/a.png")),
    (["images/0001.jpg", "ground_truth_mask/0001.png"], Pair("images/0001.jpg", "ground_truth_mask/0001.png")),
    (
        ["DUTS-TR/DUTS-TR-Image/a.jpg", "DUTS-TR/DUTS-TR-Mask/a.png"],
        Pair("DUTS-TR/DUTS-TR-Image/a.jpg", "DUTS-TR/DUTS-TR-Mask/a.png", "train"),
    ),
    (["DUTS-TE-Image/a.jpg", "DUTS-TE-Mask/a.png"], Pair("DUTS-TE-Image/a.jpg", "DUTS-TE-Mask/a.png", "test")),
    (
        ["DUT-OMRON-image/a.jpg", "pixelwiseGT-new-PNG/a.png"],
        Pair("DUT-OMRON-image/a.jpg", "pixelwiseGT-new-PNG/a.png"),
    ),
    (["imgs/a.png", "gt/a.png"], Pair("imgs/a.png", "gt/a.png")),
    (
        ["datasets/imgs/pascal/1.jpg", "datasets/masks/pascal/1.png"],
        Pair("datasets/imgs/pascal/1.jpg", "datasets/masks/pascal/1.png", None, True),
    ),
    (["MSRA10K/Imgs/7.jpg", "MSRA10K/Imgs/7.png"], Pair("MSRA10K/Imgs/7.jpg", "MSRA10K/Imgs/7.png")),
    (
        ["train400/images/3.webp", "train400/masks/3.png"],
        Pair("train400/images/3.webp", "train400/masks/3.png", "train"),
    ),
    (
        ["set/val/images/a.jpg", "set/val/masks/a.png"],
        Pair("set/val/images/a.jpg", "set/val/masks/a.png", "calibration"),
    ),
]


@pytest.mark.parametrize(("names", "pair"), LAYOUTS, ids=[pair.image for _, pair in LAYOUTS])
def test_published_layout_is_understood(names, pair):
    assert find_pairs([*names, "README.md"], "the set") == [pair]


def test_pairs_of_several_folders_are_put_together():
    names = ["train/images/b.jpg", "train/masks/b.png", "test/images/a.jpg", "test/masks/a.png"]
    assert [(pair.image, pair.split) for pair in find_pairs(names, "")] == [
        ("test/images/a.jpg", "test"),
        ("train/images/b.jpg", "train"),
    ]


def test_image_without_mask_is_named():
    with pytest.raises(DataError, match=r"the set: 'images/b\.jpg' lack\(s\) a mask of that name in masks"):
        find_pairs(["images/a.jpg", "images/b.jpg", "masks/a.png"], "the set")


def test_mask_without_image_is_named():
    with pytest.raises(DataError, match=r"'masks/b\.png' lack\(s\) an image of that name in images"):
        find_pairs(["images/a.jpg", "masks/a.png", "masks/b.png"], "the set")


def test_many_missing_masks_are_counted():
    names = [f"images/{number}.jpg" for number in range(9)] + ["masks/0.png"]
    with pytest.raises(DataError, match=r"'images/5\.jpg' and 3 more lack"):
        find_pairs(names, "the set")


def test_unknown_layout_is_answered_with_the_known_ones():
    with pytest.raises(
        DataError, match=r"photos holds no images with masks.*duts-tr-image/ with duts-tr-mask/ \(DUTS\)"
    ):
        find_pairs(["photos/a.jpg"], "photos")


def test_lists_choose_parts_and_images():
    pairs = find_pairs([f"{kind}/{name}.png" for name in "abc" for kind in ("imgs", "gt")], "")
    chosen = assign_lists(pairs, {"trainImgSet.txt": "c.png\n\n", "testImgSet.txt": "a.png\n"}, "")
    assert [(pair.image, pair.split) for pair in chosen] == [("imgs/a.png", "test"), ("imgs/c.png", "train")]


def test_list_that_names_a_missing_image_is_refused():
    pairs = find_pairs(["images/a.jpg", "masks/a.png"], "")
    with pytest.raises(DataError, match="'z' stand in its lists, but not among its images"):
        assign_lists(pairs, {"train.txt": "a\nz\n"}, "the set")


@pytest.fixture
def numbered():
    """Image 1 of a training and of a test folder."""
    folders = ("train", "test")
    return find_pairs([f"{part}/{kind}/1.png" for part in folders for kind in ("images", "masks")], "the set")


def test_list_speaks_of_the_images_beside_it_alone(numbered):
    chosen = assign_lists(numbered, {"test/val.txt": "1\n"}, "the set")
    assert [(pair.image, pair.split) for pair in chosen] == [
        ("test/images/1.png", "calibration"),
        ("train/images/1.png", "train"),
    ]


def test_list_that_stands_elsewhere_does_not_move_images_of_that_name(numbered):
    with pytest.raises(DataError, match=r"the set: '1' stand in its lists.*must stand beside the folder of its images"):
        assign_lists(numbered, {"train.txt": "1\n"}, "the set")


def test_every_folders_list_is_read(numbered):
    chosen = assign_lists(numbered, {"test/train.txt": "1\n", "train/train.txt": "1\n"}, "the set")
    assert [pair.split for pair in chosen] == ["train", "train"]


def test_image_in_two_lists_is_refused(numbered):
    lists = {"test/train.txt": "1.png\n", "test/test.txt": "1\n"}
    with pytest.raises(DataError, match="the lists in test name '1' for test and for train: take it out of one"):
        assign_lists(numbered, lists, "the set")


@pytest.mark.parametrize("line", ["my photo.v2.jpg", "my photo.v2", "images/my photo.v2.jpg"])
def test_listed_names_may_have_spaces_and_dots(line):
    pairs = find_pairs(["images/my photo.v2.jpg", "masks/my photo.v2.png"], "")
    assert [pair.split for pair in assign_lists(pairs, {"test.txt": f"{line}\r\n"}, "")] == ["test"]


@pytest.mark.parametrize("double", [["images/a.png"], ["masks/a.bmp"]])
def test_images_or_masks_of_one_name_are_refused(double):
    with pytest.raises(
        DataError, match=r"the set: '(images|masks)/a\.\w+', '\1/a\.\w+' differ in their suffixes alone"
    ):
        find_pairs(["images/a.jpg", "masks/a.png", *double], "the set")


def test_folders_of_images_that_fit_no_layout_are_named(caplog):
    names = ["images/b.jpg", "masks/b.png", "images/sub/a.jpg", "masks/sub/a.png"]
    assert [pair.image for pair in find_pairs(names, "the set")] == ["images/b.jpg"]
    assert caplog.messages == [
        "left out 'images/sub', 'masks/sub' of the set: images are there, but no layout that is known"
    ]


@pytest.mark.parametrize(("names", "pair"), LAYOUTS, ids=[pair.image for _, pair in LAYOUTS])
def test_folders_that_fit_are_not_named(names, pair, caplog):
    find_pairs(names, "the set")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("image", "mask", "base"),
    [
        ("a/images/1.jpg", "a/masks/1.png", "a"),
        ("images/1.jpg", "masks/1.png", "."),
        ("a/imgs/pascal/1.jpg", "a/masks/pascal/1.png", "a"),
        ("a/Imgs/1.jpg", "a/Imgs/1.png", "a"),
    ],
)
def test_base_is_where_both_folders_stand(image, mask, base):
    assert Pair(image, mask).base == base
