import numpy as np
import pytest
from PIL import Image

from modicum.saliency.data.duplicates import find_duplicates
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
