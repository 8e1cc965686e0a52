import json

import numpy as np
import pytest
from PIL import Image

from modicum.saliency.survey import PREVIEW_PX, survey
from modicum.storage.errors import DataError

SIDE = 20
IMAGES = 10


@pytest.fixture
def folder(tmp_path):
    """Ten images, a quarter of each salient, one of them also in the set as a copy, and one that is damaged."""
    root, random = tmp_path / "set", np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:10, :10] = 255
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        for name in (str(number), "copy") if number == 0 else (str(number),):
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "images" / "broken.png").write_bytes(b"")
    Image.fromarray(mask).save(root / "masks" / "broken.png")
    return root


def test_survey_counts_what_can_be_used_and_what_cannot(folder):
    report = survey(str(folder))
    found = report.figures
    assert (found["images"], found["copies"], found["origin"]) == (11, 1, str(folder))
    assert found["unreadable"] == [("images/broken.png", "the file is empty")]
    assert found["salient_share"] == pytest.approx(0.25)
    assert report.headline == f"11 images of {folder} can be used, 1 cannot"
    assert [row.cells for row in report.sections[0].table.rows] == [
        ("images with masks", "11"),
        ("mean share of salient pixels", "25.0 %"),
        ("copies, byte for byte", "1"),
        ("train images, by default", "8"),
        ("calibration images, by default", "1"),
        ("test images, by default", "2"),
        ("unreadable: images/broken.png", "the file is empty"),
    ]


def test_survey_names_contradictions_blank_masks_and_files_of_other_suffixes(folder):
    empty = Image.new("L", (SIDE, SIDE))
    for name in ("copy", "3"):
        empty.save(folder / "masks" / f"{name}.png")
    (folder / "images" / "b.heic").write_bytes(b"?")
    report = survey(str(folder))
    assert [row.cells for row in report.sections[0].table.rows[-3:]] == [
        ("contradiction: images/0.png, images/copy.png", "one image, different masks"),
        ("not read for their suffix", "1 .heic"),
        ("masks that are empty or full", "1: 'images/3.png'"),
    ]
    assert json.loads(json.dumps(report.to_json()))["figures"]["blank"] == ["images/3.png"]


def test_survey_splits_as_a_training_would(folder):
    assert survey(str(folder)).figures["splits"] == {
        "train": 8,
        "calibration": 1,
        "test": 2,
    }  # shares of 0.1 and 0.2 of 11


def test_strict_survey_refuses_a_damaged_file(folder):
    with pytest.raises(DataError, match=r"images/broken\.png: the file is empty"):
        survey(str(folder), strict=True)


def test_preview_shows_each_image_above_its_mask(folder, tmp_path):
    survey(str(folder), preview=tmp_path / "preview.png")
    with Image.open(tmp_path / "preview.png") as sheet:
        width, height = sheet.size
        corner, middle = (sheet.getpixel((place, PREVIEW_PX + 2 + place)) for place in (10, PREVIEW_PX - 10))
    columns, rows = 8, 4  # eleven images, and as many masks
    assert (width // PREVIEW_PX, height // PREVIEW_PX) == (columns, rows)
    assert (corner, middle) == ((255, 255, 255), (0, 0, 0))


def test_preview_of_few_images_is_as_wide_as_they_are(folder, tmp_path):
    for number in range(4, IMAGES):
        for kind in ("images", "masks"):
            (folder / kind / f"{number}.png").unlink()
    survey(str(folder), preview=tmp_path / "preview.png")
    with Image.open(tmp_path / "preview.png") as sheet:
        assert (sheet.width // PREVIEW_PX, sheet.height // PREVIEW_PX) == (5, 2)
