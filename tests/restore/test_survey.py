import numpy as np
import pytest
from PIL import Image

from modicum.restore.survey import survey
from modicum.storage.errors import DataError


@pytest.fixture
def folder(tmp_path, picture):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, shape in enumerate([(64, 70, 3), (80, 60, 3), (64, 64), (100, 90, 3)]):
        Image.fromarray(picture(number, shape)).save(folder / f"{number}.png")
    return folder


def test_counts_sizes_and_parts(folder):
    report = survey(str(folder))
    found = report.figures
    assert (found["images"], found["grey"], found["left_out"]) == (4, 1, [])
    assert (found["smallest_px"], found["largest_px"]) == ((64, 64), (90, 100))
    assert found["splits"] == {"train": 2, "calibration": 1, "test": 1}
    assert (found["name"], found["origin"]) == ("4 images of photos", str(folder))
    assert report.headline == f"4 images of {folder} can be used, 0 left out"


def test_what_cannot_be_used_is_named_with_the_reason(folder):
    (folder / "bad.png").write_bytes(b"")
    (folder / "copy.png").write_bytes((folder / "3.png").read_bytes())
    Image.new("L", (20, 30)).save(folder / "small.png")

    report = survey(str(folder))

    assert report.figures["images"] == 4
    reasons = dict(report.figures["left_out"])
    assert reasons["bad.png"] == "the file is empty"
    assert reasons["copy.png"] == "equals 3.png"
    assert reasons["small.png"] == "its 20x30 pixels do not hold a patch of 48 pixels"
    rows = dict(row.cells for row in report.sections[0].table.rows)
    assert (rows["smallest"], rows["test images, by default"]) == ("64x64", "1")
    assert rows["left out: bad.png"] == "the file is empty"


def test_strictness_refuses_the_set(folder):
    (folder / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 image\(s\) of .* cannot be used:\n  bad\.png: the file is empty"):
        survey(str(folder), strict=True)


def test_preview_shows_the_middles(folder, tmp_path):
    survey(str(folder), preview=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (96 + 4, 4 * (96 + 2) + 2, 3)
    assert pixels.std() > 10
