import tracemalloc

import numpy as np
import pytest
from PIL import Image

from modicum.saliency.data.duplicates import find_duplicates, near_pairs
from modicum.saliency.data.scenes import photograph
from modicum.saliency.data.sources import FilePairs


@pytest.fixture
def source(tmp_path):
    """Two training photographs, and a test photograph that is the first of them, smaller and recompressed."""
    coffee, rocket = (Image.fromarray(photograph(name)) for name in ("coffee", "rocket"))
    for name, picture, quality in (
        ("train/images/coffee.jpg", coffee, 95),
        ("train/images/rocket.jpg", rocket, 95),
        ("test/images/again.jpg", coffee.resize((200, 133)), 60),
        ("test/images/rocket2.jpg", rocket.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 60),
    ):
        file = tmp_path / name
        mask = tmp_path / name.replace("images", "masks").replace(".jpg", ".png")
        for each in (file, mask):
            each.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, quality=quality)
        Image.fromarray(np.zeros(picture.size[::-1], np.uint8)).save(mask)
    return FilePairs(tmp_path)


def test_recompressed_copy_is_found_across_parts(source):
    parts = {part: [i for i, r in enumerate(source.records) if r.split == part] for part in ("train", "test")}
    (pair,) = find_duplicates(source, parts["train"], source, parts["test"])
    assert (pair.train, pair.test) == ("train/images/coffee.jpg", "test/images/again.jpg")


def test_nothing_to_compare_gives_nothing(source):
    assert find_duplicates(source, [], source, [0]) == ()


def random_bits(rows, seed):
    return np.random.default_rng(seed).integers(0, 2, (rows, 64)).astype(bool)


@pytest.mark.parametrize("rows", [0, 3, 600])
def test_distances_are_those_of_plain_comparison(rows):
    some, others = random_bits(rows, seed=0), random_bits(40, seed=1)
    plain = (some[:, None] != others).sum(axis=2)
    expected = [(row, column, plain[row, column]) for row, column in np.argwhere(plain <= 24).tolist()]
    assert list(near_pairs(some, others, 24)) == expected


def test_memory_does_not_grow_with_the_product_of_the_parts():
    some, others = random_bits(2000, seed=0), random_bits(2000, seed=1)
    tracemalloc.start()
    try:
        list(near_pairs(some, others, 0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20  # all bits of all pairs: 244 MiB
