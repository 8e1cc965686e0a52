import pytest

from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.data.scanning import scan
from modicum.storage.errors import DataError

BOX = {"bbox": [1, 1, 16, 9]}


def test_objects_sizes_and_faults_are_counted(write_coco, tmp_path):
    images = {
        "a.png": [BOX, {"bbox": [2, 2, 0, 5]}, {"bbox": [50, 1, 5, 5]}, {"bbox": [30, 1, 30, 5], "category_id": 20}],
        "b.png": [],
        "c.png": [{"bbox": [0, 0, 9, 9], "iscrowd": 1}],
    }
    write_coco("annotations.json", images)
    found = scan(AnnotatedFiles(tmp_path))
    assert found.objects.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert (found.empty, found.ignored) == (2, 1)
    assert (found.faults.empty, found.faults.outside, found.faults.cut) == (1, 1, 1)
    assert found.sides_px.tolist() == pytest.approx([50**0.5, 12])
    with pytest.raises(DataError, match="1 have no area, 1 lie outside their picture, 1 reach beyond it"):
        found.require_sound("here")


def test_unreadable_pictures_and_those_of_other_sizes_are_reported_and_left_out(write_coco, write_picture, tmp_path):
    write_coco("annotations.json", {name: [BOX] for name in ("a.png", "b.png", "c.png")})
    (tmp_path / "b.png").write_bytes(b"no picture")
    write_picture("c.png", (80, 60))
    found = scan(AnnotatedFiles(tmp_path)).pictures
    assert found.good == (0,)
    reasons = {failure.name: failure.reason for failure in found.bad}
    assert "not an image" in reasons["b.png"]
    assert "annotations are for 40x30 pixels, but it has 80x60" in reasons["c.png"]


def test_copies_with_other_objects_contradict_each_other(write_coco, tmp_path):
    write_coco("annotations.json", {"a.png": [BOX], "b.png": [], "c.png": [BOX], "d.png": [BOX]})
    for name in ("b", "d"):
        (tmp_path / f"{name}.png").write_bytes((tmp_path / ("a.png" if name == "b" else "c.png")).read_bytes())
    source = AnnotatedFiles(tmp_path)
    found = scan(source).pictures
    assert found.contradictions == (("a.png", "b.png"),)
    assert (found.good, found.copies) == ((2, 3), 1)
    assert len(scan(source, keep_contradictions=True).pictures.good) == 4


def test_set_of_empty_pictures_is_refused(write_coco, tmp_path):
    write_coco("annotations.json", {"a.png": [], "b.png": [{"bbox": [1, 1, 5, 5], "iscrowd": 1}]})
    with pytest.raises(DataError, match=r"none of the 2 pictures of .* has an object: there is nothing to learn"):
        scan(AnnotatedFiles(tmp_path))


def test_pictures_of_mixed_sizes_are_fine(write_picture, write_text, tmp_path):
    for number, size in enumerate([(40, 30), (30, 40), (200, 7), (1, 1)]):
        write_picture(f"{number}.png", size)
    rows = [f"{number}.png,car,0,0,1,1" for number in range(4)]
    write_text("boxes.csv", "\n".join(["path,class,xmin,ymin,xmax,ymax", *rows]))
    assert scan(AnnotatedFiles(tmp_path)).sizes == ((40, 30), (30, 40), (200, 7), (1, 1))
