import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from modicum.datasets.duplicates import find_duplicates, near_pairs
from modicum.datasets.photographs import packaged_photograph
from modicum.imaging.decoding import decode


def photograph(file):
    return decode(packaged_photograph("skimage.data", file, extra="saliency"))


def recompressed(picture):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60)
    return np.asarray(decode(stream.getvalue()))


def test_recompressed_copy_is_found_across_parts():
    coffee, rocket = photograph("coffee.png"), photograph("rocket.jpg")
    train = [("coffee", np.asarray(coffee)), ("rocket", np.asarray(rocket))]
    test = [
        ("again", recompressed(coffee.resize((200, 133)))),
        ("rocket2", recompressed(rocket.transpose(Image.Transpose.FLIP_TOP_BOTTOM))),
    ]
    (pair,) = find_duplicates(train, test)
    assert (pair.train, pair.test) == ("coffee", "again")


def test_nothing_to_compare_gives_nothing():
    assert find_duplicates([], [("a", np.zeros((8, 8, 3), np.uint8))]) == ()


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
