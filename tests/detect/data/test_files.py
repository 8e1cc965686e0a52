import pickle
import tarfile

import numpy as np
import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.data.opening import open_source
from modicum.storage.errors import DataError


@pytest.fixture
def folder(write_coco, tmp_path):
    write_coco("set/annotations.json", {"a.png": [{"bbox": [1, 2, 3, 4]}], "b.png": []}, folder="set/images/")
    return tmp_path / "set"


def test_archive_holds_what_its_folder_does(folder, tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(folder, arcname=".")
    loose, packed = AnnotatedFiles(folder), AnnotatedFiles(tmp_path / "set.tar")
    assert packed.sample(0).objects.boxes.tolist() == loose.sample(0).objects.boxes.tolist()
    assert np.array_equal(packed.pixels(0), loose.pixels(0))
    assert packed.digest(0) == loose.digest(0)
    assert packed.sample(0).content() == loose.sample(0).content()


def test_source_can_be_pickled_for_workers(folder):
    source = pickle.loads(pickle.dumps(AnnotatedFiles(folder)))
    assert len(source.sample(0).objects) == 1


def test_seal_changes_with_the_picture_and_with_its_boxes_but_not_with_their_order(write_coco, write_picture, tmp_path):
    rows = [{"bbox": [1, 2, 3, 4]}, {"bbox": [5, 6, 7, 8]}]
    write_coco("annotations.json", {"a.png": rows})
    first = AnnotatedFiles(tmp_path).seal(0)
    write_coco("annotations.json", {"a.png": rows[::-1]})
    assert AnnotatedFiles(tmp_path).seal(0) == first
    write_coco("annotations.json", {"a.png": rows[:1]})
    assert AnnotatedFiles(tmp_path).seal(0) != first
    write_coco("annotations.json", {"a.png": rows})
    write_picture("a.png", pixels=np.zeros((30, 40, 3), np.uint8))
    assert AnnotatedFiles(tmp_path).seal(0) != first


def test_turned_picture_is_upright_and_its_boxes_with_it(write_picture, write_text, tmp_path):
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[2:8, 1:5] = 255
    write_picture("a.png", pixels=pixels, orientation=6)
    write_text("boxes.csv", "path,class,xmin,ymin,xmax,ymax,width,height\na.png,car,1,2,5,8,40,30\n")
    source = AnnotatedFiles(tmp_path)
    left, top, right, bottom = source.sample(0).objects.boxes[0].int().tolist()
    upright = source.pixels(0)
    assert source.sample(0).size == (30, 40) == (upright.shape[1], upright.shape[0])
    assert (upright[top:bottom, left:right] == 255).all()
    assert upright.sum() == 255 * 3 * (right - left) * (bottom - top)


def test_annotations_in_two_formats_are_not_chosen_between(folder, write_text):
    write_text("set/boxes.csv", "path,class,xmin,ymin,xmax,ymax\na.png,car,1,2,3,4\n")
    with pytest.raises(
        DataError, match=r"several formats, COCO JSON \('annotations.json'\), CSV \('boxes.csv'\): name"
    ):
        AnnotatedFiles(folder)
    assert AnnotatedFiles(folder / "boxes.csv").title == "CSV"


def test_picture_annotated_twice_is_refused(write_coco, tmp_path):
    for name in ("one.json", "two.json"):
        write_coco(name, {"a.png": []})
    with pytest.raises(DataError, match=r"'a\.png' is annotated more than once: name the one file"):
        AnnotatedFiles(tmp_path)


def test_name_that_several_pictures_have_needs_a_folder(write_coco, write_picture, tmp_path):
    write_coco("annotations.json", {"a.png": []}, folder="one/")
    write_picture("two/a.png")
    with pytest.raises(DataError, match=r"'a\.png', which may be 'one/a\.png', 'two/a\.png'.*: state the folder, too"):
        AnnotatedFiles(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone", "gone does not exist: give a folder or uncompressed .tar of pictures"),
        (
            lambda folder: folder / "images",
            "holds no annotations that can be read, but 'a.png', 'b.png'; give a folder",
        ),
    ],
)
def test_what_is_no_set_says_what_can_be_given(folder, make, message):
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        open_source(str(make(folder)))


def test_embedded_set_is_the_default():
    assert open_source(None).origin == open_source("scattered-marks").origin == "embedded:scattered-marks"
