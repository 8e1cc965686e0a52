import pytest

from modicum.classify.data.folders import ImageFolder
from modicum.classify.data.scan import scan
from modicum.prediction import Failure
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
    empty, cut = found.bad
    assert empty == Failure("cat/2.png", "the file is empty")
    assert (cut.name, "truncated" in cut.reason) == ("dog/3.png", True)


def test_digests_go_with_the_good_images(mixed):
    found = scan(mixed)
    assert found.digests == tuple(mixed.digest(index) for index in found.good)


def test_class_without_good_images_is_an_error(write_tree):
    root = write_tree("cat/1.png", "dog/2.png")
    (root / "dog" / "2.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"no image of the class\(es\) dog .* can be decoded:\n  dog/2.png: the file is"
    ):
        scan(ImageFolder(root))


@pytest.mark.data
def test_real_set_is_clean(real_data):
    from modicum.classify.data.archives import TarImages

    assert scan(TarImages(real_data / "imagenet_sample100")).bad == ()


@pytest.fixture
def contradicting(write_tree):
    root = write_tree("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png")
    (root / "dog/copy of 1.png").write_bytes((root / "cat/1.png").read_bytes())
    (root / "dog/copy of 4.png").write_bytes((root / "dog/4.png").read_bytes())
    return ImageFolder(root)


def test_copies_in_two_classes_are_contradictions_and_left_out(contradicting):
    found = scan(contradicting)
    assert found.contradictions == (("cat/1.png", "dog/copy of 1.png"),)
    used = [contradicting.records[index].id for index in found.good]
    assert used == ["cat/2.png", "dog/3.png", "dog/4.png", "dog/copy of 4.png"]
    assert len(found.digests) == len(used)


def test_contradictions_are_used_where_they_are_asked_for(contradicting):
    found = scan(contradicting, keep_contradictions=True)
    assert (len(found.good), found.contradictions) == (6, ())


def test_files_of_other_suffixes_are_counted(write_tree):
    root = write_tree("cat/1.png", "dog/2.png", "dog/3.jfif", "dog/4.HEIC", "cat/5.heic", "dog/6", "dog/notes.txt")
    found = scan(ImageFolder(root))
    assert (len(found.good), found.unread) == (3, ("cat/5.heic", "dog/4.HEIC", "dog/6"))


def test_members_of_archives_are_counted_too(tmp_path, encoded, noise):
    import io
    import tarfile

    from modicum.classify.data.archives import TarImages

    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for number, name in enumerate(("cat/1.png", "dog/2.png", "dog/3.heic", "notes.txt")):
            content, member = encoded(noise(number)), tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert scan(TarImages(tmp_path / "set.tar")).unread == ("dog/3.heic",)
