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
