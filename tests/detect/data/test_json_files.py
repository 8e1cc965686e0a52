import json

import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.storage.errors import DataError


def ids(source):
    return [record.id for record in source.records]


def test_coco_boxes_are_corner_and_size_and_categories_become_labels(write_coco, tmp_path):
    rows = [{"bbox": [1, 2, 10, 20]}, {"bbox": [5.5, 6, 4.5, 3], "category_id": 20}]
    write_coco("annotations.json", {"a.png": rows, "b.png": []})
    source = AnnotatedFiles(tmp_path)
    assert source.classes == ("car", "bus")
    sample = source.sample(0)
    assert sample.objects.boxes.tolist() == [[1, 2, 11, 22], [5.5, 6, 10, 9]]
    assert sample.objects.labels.tolist() == [0, 1]
    assert sample.size == (40, 30)
    assert len(source.sample(1).objects) == 0
    assert source.title == "COCO JSON"


def test_crowds_and_ignored_objects_of_coco_are_ignored(write_coco, tmp_path):
    rows = [{"bbox": [0, 0, 9, 9], "iscrowd": 1}, {"bbox": [0, 0, 9, 9], "ignore": 1}, {"bbox": [0, 0, 9, 9]}]
    write_coco("annotations.json", {"a.png": rows})
    assert AnnotatedFiles(tmp_path).sample(0).objects.ignore.tolist() == [True, True, False]


def test_coco_2017_folders_name_parts_and_keypoints_are_left_aside(write_coco, write_text, tmp_path):
    for part in ("train", "val"):
        write_coco(
            f"annotations/instances_{part}2017.json",
            {"000000000009.jpg": [{"bbox": [0, 0, 9, 9]}], "000000000025.jpg": []},
            folder=f"{part}2017/",
        )
        content = (tmp_path / f"annotations/instances_{part}2017.json").read_text()
        write_text(f"annotations/person_keypoints_{part}2017.json", content)
        write_text(f"annotations/captions_{part}2017.json", '{"images": [], "annotations": []}')
    source = AnnotatedFiles(tmp_path)
    assert ids(source) == [
        f"{part}2017/{name}" for part in ("train", "val") for name in ("000000000009.jpg", "000000000025.jpg")
    ]
    assert [record.split for record in source.records] == ["train", "train", "calibration", "calibration"]


def test_roboflow_keeps_its_json_beside_the_pictures_of_each_part(write_coco, tmp_path):
    for part in ("train", "valid", "test"):
        write_coco(f"{part}/_annotations.coco.json", {f"{part}1.jpg": [{"bbox": [0, 0, 9, 9]}]}, folder=f"{part}/")
    assert {record.split for record in AnnotatedFiles(tmp_path).records} == {"train", "calibration", "test"}


def test_one_file_of_coco_can_be_named(write_coco, tmp_path):
    file = write_coco("annotations/mine.json", {"a.jpg": [{"bbox": [0, 0, 9, 9]}]}, folder="images/")
    write_coco("annotations/other.json", {"b.jpg": []}, folder="images/")
    assert ids(AnnotatedFiles(file)) == ["images/a.jpg"]


def test_file_names_with_folders_of_another_machine_find_their_pictures(write_coco, write_picture, tmp_path):
    file = write_coco("annotations.json", {"a.jpg": []}, folder="images/")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = "C:\\data\\set\\images\\a.jpg"
    content["annotations"] = [{"image_id": 1, "category_id": 10, "bbox": [0, 0, 3, 3]}]
    file.write_text(json.dumps(content))
    assert ids(AnnotatedFiles(tmp_path)) == ["images/a.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][0].pop("bbox"),
            r"annotations\[0\] lacks 'bbox': it must have image_id, category_id",
        ),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
            r"annotations\[0\]: bbox must be \[x, y, width, height\]",
        ),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, None, 4]),
            r"annotations\[0\]: None is not a number: bbox must",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), r"annotations\[0\]: .* inside out: .* not negative"),
        (
            lambda c: c["annotations"][0].update(category_id=7),
            r"annotations\[0\]: category_id 7 must be the id of one of",
        ),
        (lambda c: c["annotations"][0].update(image_id=99), r"annotations\[0\]: image_id 99 must be the id of one of"),
        (
            lambda c: c["images"][0].update(file_name="gone.jpg"),
            r"images\[0\] names 'gone.jpg', which is not among the 1",
        ),
        (lambda c: c["images"][0].update(width="wide"), r"images\[0\]: width and height must be whole numbers"),
        (lambda c: c["categories"].clear(), "categories must list id and name of at least one class"),
    ],
)
def test_faults_of_coco_are_named_with_file_entry_and_what_would_be_right(write_coco, tmp_path, change, message):
    file = write_coco("annotations.json", {"a.jpg": [{"bbox": [1, 2, 3, 4]}]})
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"annotations\.json: {message}" if "\\[" in message else message):
        AnnotatedFiles(tmp_path)


def test_broken_json_is_named_with_line_and_column(write_picture, write_text, tmp_path):
    write_picture("a.jpg")
    write_text("annotations.json", '{"images": [],\n "annotations": [}')
    with pytest.raises(DataError, match=r"annotations\.json, line 2, column 18: not JSON"):
        AnnotatedFiles(tmp_path)


def test_parts_of_coco_with_other_classes_are_refused(write_coco, tmp_path):
    write_coco("train/_annotations.coco.json", {"a.jpg": []}, folder="train/")
    write_coco("test/_annotations.coco.json", {"b.jpg": []}, folder="test/", classes=("bus", "car"))
    with pytest.raises(DataError, match=r"states the classes 'car', 'bus', but .* states 'bus', 'car'"):
        AnnotatedFiles(tmp_path)


def test_plain_json_lists_boxes_by_their_corners(write_picture, write_text, tmp_path):
    for name in ("images/a.png", "images/b.png"):
        write_picture(name)
    images = [
        {"image": "images/a.png", "boxes_xyxy": [[1, 2, 11, 22]], "labels": [1], "crowd": [1]},
        {"image": "images/b.png", "boxes_xyxy": [], "labels": []},
    ]
    write_text("annotations.json", json.dumps({"classes": ["car", "bus"], "images": images}))
    source = AnnotatedFiles(tmp_path)
    objects = source.sample(0).objects
    assert (objects.boxes.tolist(), objects.labels.tolist(), objects.ignore.tolist()) == ([[1, 2, 11, 22]], [1], [True])
    assert source.classes == ("car", "bus")


def test_plain_list_without_labels_has_one_class(write_picture, write_text, tmp_path):
    write_picture("images/a.png")
    write_text("annotations.json", json.dumps([{"image": "images/a.png", "boxes_xyxy": [[1, 2, 3, 4]]}]))
    assert AnnotatedFiles(tmp_path).classes == ("object",)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"boxes_xyxy": [[3, 2, 1, 4]]},
            r"images\[0\], box 0: the box 3, 2, 1, 4 is turned inside out: .* right, bottom",
        ),
        ({"boxes_xyxy": [[1, 2, 3, 4]], "labels": [2]}, r"box 0: its label must be an index into 2 class\(es\), got 2"),
        (
            {"boxes_xyxy": [[1, 2, 3, 4]], "labels": []},
            r"images\[0\]: labels must list one value for each of its 1 box",
        ),
    ],
)
def test_faults_of_plain_json_are_named(write_picture, write_text, tmp_path, entry, message):
    write_picture("a.png")
    write_text("annotations.json", json.dumps({"classes": ["x", "y"], "images": [{"image": "a.png", **entry}]}))
    with pytest.raises(DataError, match=message):
        AnnotatedFiles(tmp_path)
