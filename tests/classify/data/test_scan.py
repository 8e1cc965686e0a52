import pytest

from modicum.classify.data import ImageFolder, require_clean, scan
from modicum.storage.errors import DataError


@pytest.fixture
def mixed(write_tree):
    root = write_tree("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png")
    (root / "cat" / "2.png").write_bytes(b"")
    (root / "dog" / "3.png").write_bytes((root / "dog" / "4.png").read_bytes()[:100])
    return ImageFolder(root)


def test_scan_tells_good_from_bad_with_reasons(mixed):
    found = scan(mixed)
    assert found.good == (0, 3, 4)
    assert dict(found.bad)["cat/2.png"] == "the file is empty"
    assert "truncated" in dict(found.bad)["dog/3.png"]


def test_digests_go_with_the_good_images(mixed):
    found = scan(mixed)
    assert found.digests == tuple(mixed.digest(index) for index in found.good)


def test_progress_counts_every_image(mixed):
    seen = []
    scan(mixed, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_require_clean_lists_bad_files_with_reasons(mixed):
    with pytest.raises(DataError, match=r"2 image\(s\) cannot be used:\n  cat/2.png: the file is empty\n  dog/3.png: "):
        require_clean(scan(mixed))


def test_require_clean_accepts_a_clean_set(write_tree):
    require_clean(scan(ImageFolder(write_tree("cat/1.png", "dog/2.png"))))


def test_class_without_good_images_is_an_error(write_tree):
    root = write_tree("cat/1.png", "dog/2.png")
    (root / "dog" / "2.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"no image of the class\(es\) dog .* can be decoded:\n  dog/2.png: the file is"
    ):
        scan(ImageFolder(root))


@pytest.mark.data
def test_real_set_is_clean(real_data):
    from modicum.classify.data import TarImages

    assert scan(TarImages(real_data / "imagenet_sample100")).bad == ()
