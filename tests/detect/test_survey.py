import pytest
from PIL import Image

from modicum.detect.survey import survey
from modicum.storage.errors import DataError


@pytest.fixture
def folder(write_coco, tmp_path):
    images = {f"f{number // 2}-{number}.png": [{"bbox": [1, 1, 12, 9]}] for number in range(10)}
    images["f0-0.png"] = [{"bbox": [1, 1, 12, 9]}, {"bbox": [2, 2, 0, 5]}, {"bbox": [30, 1, 30, 9], "category_id": 20}]
    images["f9-99.png"] = []
    write_coco("annotations.json", images)
    (tmp_path / "f4-8.png").write_bytes(b"damaged")
    return tmp_path


def test_survey_tells_what_is_in_a_set_and_what_is_wrong_with_it(folder):
    report = survey(str(folder)).figures
    assert report["images"] == 10
    assert report["objects"] == {"car": 9, "bus": 1}
    assert (report["empty"], report["sequences"]) == (1, 6)
    assert report["faults"] == {"empty": 1, "outside": 0, "cut": 1}
    assert [name for name, _ in report["unreadable"]] == ["f4-8.png"]
    assert sum(report["splits"].values()) == 10


def test_strict_survey_refuses_what_would_be_left_out(folder, write_picture):
    with pytest.raises(DataError, match=r"f4-8\.png: not an image"):
        survey(str(folder), strict=True)
    write_picture("f4-8.png")
    with pytest.raises(DataError, match="1 have no area, 0 lie outside their picture, 1 reach beyond it"):
        survey(str(folder), strict=True)


def test_preview_shows_pictures_with_their_boxes(folder, tmp_path):
    survey(str(folder), preview=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 1000
    with pytest.raises(DataError, match="previews are written as"):
        survey(str(folder), preview=tmp_path / "sheet.pdf")
