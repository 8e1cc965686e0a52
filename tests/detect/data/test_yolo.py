import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.storage.errors import DataError


def boxes(source, index=0):
    return source.sample(index).objects.boxes.tolist()


@pytest.fixture
def ultralytics(write_picture, write_text):
    """A set in the layout of Ultralytics, e.g. coco8: parts below images/ and labels/."""
    for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
        write_picture(f"images/{part}/{name}.jpg", (40, 20))
    write_text("labels/train/a.txt", "1 0.5 0.5 0.5 0.5\n\n0 0.25 0.5 0.1 1.0\n")
    write_text("labels/val/c.txt", "")
    return lambda text: write_text("data.yaml", text)


YAML = """path: ../datasets/coco8  # dataset root dir
train: images/train
val: images/val
test:
names:
  0: car
  1: bus
"""


def test_shares_become_pixels_and_a_picture_without_labels_is_empty(ultralytics, tmp_path):
    ultralytics(YAML)
    source = AnnotatedFiles(tmp_path)
    assert source.classes == ("car", "bus")
    assert boxes(source) == [[10, 5, 30, 15], [8, 0, 12, 20]]
    assert source.sample(0).objects.labels.tolist() == [1, 0]
    assert boxes(source, 1) == []
    assert [record.split for record in source.records] == ["train", "train", "calibration"]


def test_classes_may_be_a_list_and_paths_those_of_another_machine(ultralytics, tmp_path):
    ultralytics("train: /content/datasets/mine/images/train\nval: ../images/val\nnc: 2\nnames: ['car', 'bus']\n")
    assert len(AnnotatedFiles(tmp_path).records) == 3


def test_roboflow_layout_has_images_and_labels_in_each_part(write_picture, write_text, tmp_path):
    for part in ("train", "valid"):
        write_picture(f"{part}/images/a_jpg.rf.{part}.jpg")
        write_text(f"{part}/labels/a_jpg.rf.{part}.txt", "0 0.5 0.5 0.1 0.1\n")
    write_text("data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: ['car']\n")
    with pytest.raises(DataError, match=r"data\.yaml names '../test/images', where no picture is"):
        AnnotatedFiles(tmp_path)
    write_text("data.yaml", "train: ../train/images\nval: ../valid/images\nnames: ['car']\n")
    assert [record.split for record in AnnotatedFiles(tmp_path).records] == ["train", "calibration"]


def test_lists_of_pictures_are_followed(ultralytics, write_text, tmp_path):
    write_text("train.txt", "./images/train/a.jpg\n./images/train/b.jpg\n")
    write_text("val.txt", "/data/set/images/val/c.jpg\n")
    ultralytics("train: train.txt\nval: val.txt\nnames: [car, bus]\n")
    assert [record.split for record in AnnotatedFiles(tmp_path).records] == ["train", "train", "calibration"]


def test_labelimg_keeps_classes_and_labels_beside_the_pictures(write_picture, write_text, tmp_path):
    write_picture("a.jpg", (100, 50))
    write_picture("b.jpg")
    write_text("a.txt", "1 0.5 0.5 0.2 0.4\n")
    write_text("classes.txt", "dog\ncat\n")
    source = AnnotatedFiles(tmp_path)
    assert source.classes == ("dog", "cat")
    assert boxes(source) == [pytest.approx([40, 15, 60, 35])]


def test_outlines_become_their_bounding_boxes(ultralytics, write_text, tmp_path):
    ultralytics(YAML)
    write_text("labels/train/a.txt", "0 0.1 0.5 0.3 0.1 0.5 0.9\n")
    assert boxes(AnnotatedFiles(tmp_path)) == [pytest.approx([4, 2, 20, 18])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2 must be a whole number from 0 to 1"),
        ("car 0.5 0.5 0.1 0.1", "'car' is not a number: each line must be: class centre-x centre-y width height"),
        ("0 0.5 0.5 0.1", "has 4 numbers: each line must be"),
        ("0 320 240 64 48", "are no shares but pixels: each line must be"),
        ("0 0.5 0.5 0.1 -0.1", "width and height must not be negative"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 6 numbers"),
    ],
)
def test_faults_are_named_with_file_line_and_what_would_be_right(ultralytics, write_text, tmp_path, line, message):
    ultralytics(YAML)
    write_text("labels/train/a.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(DataError, match=rf"labels/train/a\.txt, line 2:? ?.*{message}"):
        AnnotatedFiles(tmp_path)


def test_set_without_any_label_says_where_labels_belong(write_picture, write_text, tmp_path):
    write_picture("images/a.jpg")
    write_text("data.yaml", "train: images\nnames: [car]\n")
    with pytest.raises(
        DataError, match=r"none of the 1 pictures has a file of labels: images/a\.jpg needs labels/a\.txt"
    ):
        AnnotatedFiles(tmp_path)


def test_names_that_are_no_list_are_refused(ultralytics, tmp_path):
    ultralytics("train: images/train\nnames: car\n")
    with pytest.raises(DataError, match=r"data\.yaml: names must be a list of classes, or a table of them by 0, 1, 2"):
        AnnotatedFiles(tmp_path)
