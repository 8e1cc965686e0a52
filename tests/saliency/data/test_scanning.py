import pytest

from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import FilePairs
from modicum.storage.errors import DataError


def two_pairs(folder, write_pair):
    for name in "ab":
        write_pair(folder / f"images/{name}.png", folder / f"masks/{name}.png")


def test_sizes_that_disagree_are_named_both(tmp_path, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png", mask_size=(23, 16))
    with pytest.raises(DataError, match=r"images/a\.png: the image has 24x16 pixels, the mask 23x16"):
        scan(FilePairs(tmp_path))


@pytest.mark.parametrize("part", ["images", "masks"])
def test_unreadable_file_is_left_out_and_named(tmp_path, write_pair, part):
    two_pairs(tmp_path, write_pair)
    (tmp_path / part / "a.png").write_bytes(b"")
    found = scan(FilePairs(tmp_path))
    assert (found.good, found.bad) == ((1,), (("images/a.png", "the file is empty"),))


def test_strict_scan_refuses_unreadable_files(tmp_path, write_pair):
    two_pairs(tmp_path, write_pair)
    (tmp_path / "masks/b.png").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"1 image\(s\) .* cannot be used:\n  images/b\.png: not an image"):
        scan(FilePairs(tmp_path), strict=True)


def test_set_without_a_readable_image_is_refused(tmp_path, write_pair):
    write_pair(tmp_path / "images/a.png", tmp_path / "masks/a.png")
    (tmp_path / "images/a.png").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be used"):
        scan(FilePairs(tmp_path))
