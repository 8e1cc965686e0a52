import numpy as np
import pytest
from PIL import Image

from modicum.graphs.survey import survey
from modicum.storage.errors import DataError

pytest.importorskip("pandas", reason="the graphs extra is not installed")


def test_columns_are_told_apart(tmp_path):
    rows = [f"{n},{'x' if n % 2 else ''},mm,name{n}" for n in range(60)]
    (tmp_path / "t.csv").write_text("a,b,unit,id\n" + "\n".join(rows) + "\n")
    found = {
        column.name: (column.kind, column.empty, column.holds) for column in survey(str(tmp_path / "t.csv")).columns
    }
    assert found == {
        "a": ("number", 0, "0 to 59, mean 29.5"),
        "b": ("constant", 30, "x"),
        "unit": ("constant", 0, "mm"),
        "id": ("names", 0, "60: name0, name1, name10, name11, name12, ..."),
    }


def test_preview_shows_the_first_rows(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{n},{n * n}" for n in range(50)) + "\n")
    survey(str(tmp_path / "t.csv"), preview=tmp_path / "p.csv")
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 21


def test_picture_is_measured_and_shown(tmp_path):
    Image.fromarray(np.zeros((70, 90, 3), np.uint8)).save(tmp_path / "p.png")
    found = survey(str(tmp_path / "p.png"), preview=tmp_path / "grey.png")
    assert (found.rows, found.width_px) == (70, 90)
    with Image.open(tmp_path / "grey.png") as grey:
        assert (grey.mode, grey.size) == ("L", (90, 70))


def test_picture_without_room_for_squares_is_refused(tmp_path):
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(DataError, match="has 12x10 px: the next pixel needs more than 64 px in one direction"):
        survey(str(tmp_path / "p.png"))
