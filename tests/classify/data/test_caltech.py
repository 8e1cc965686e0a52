import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from modicum.classify.counting import holds_fewer
from modicum.classify.data import caltech
from modicum.classify.data.caltech import CaltechPhotographs, archive_file, photograph_names
from modicum.classify.data.opening import open_source
from modicum.classify.data.scan import scan
from modicum.classify.data.splits import make_splits
from modicum.classify.recipe import ImageOptions
from modicum.cli import main
from modicum.datasets.duplicates import find_duplicates
from modicum.datasets.sources import PARTS
from modicum.storage.errors import DataError

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "modicum"
SHA_256 = "3f59104d4a1f28aa56a02d6485817ff28879598159caf9786f213e049b72c6de"


@pytest.fixture(scope="module")
def photographs():
    return open_source("caltech-20")


@pytest.fixture(scope="module")
def found(photographs):
    return scan(photographs)


@pytest.fixture(scope="module")
def pictures(photographs):
    """Id and pixels of every photograph by its part."""
    of_part = {part: [] for part in PARTS}
    for index, record in enumerate(photographs.records):
        of_part[record.split].append((record.id, photographs.pixels(index)))
    return of_part


def test_archive_is_the_one_that_figures_were_measured_on():
    content = archive_file().read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA_256
    assert len(content) <= 8_000_000


def test_each_class_has_15_photographs_to_calibrate_and_15_to_test(photographs):
    counts = Counter((record.split, photographs.classes[record.label]) for record in photographs.records)
    assert len(photographs.classes) == 20
    assert {counts[part, name] for part in ("calibration", "test") for name in photographs.classes} == {15}
    train = {name: counts["train", name] for name in photographs.classes}
    assert {name: count for name, count in train.items() if count != 20} == {
        "crayfish": 16,
        "flamingo": 16,
        "hawksbill": 17,
    }


def test_calibration_part_can_certify_a_loss_of_one_percent(photographs):
    count = sum(record.split == "calibration" for record in photographs.records)
    assert 0.99**count < 0.05


def test_every_photograph_has_a_short_side_of_192_px(pictures):
    shapes = [pixels.shape for part in PARTS for _, pixels in pictures[part]]
    assert len(shapes) == 989
    assert {min(height, width) for height, width, _ in shapes} == {192}


def test_split_is_fixed_whatever_the_seed(photographs, found):
    given = {part: {record.id for record in photographs.records if record.split == part} for part in PARTS}
    for seed in (0, 7):
        splits = make_splits(photographs, found, seed=seed)
        assert {part: set(splits.part(part)) for part in PARTS} == given


def test_no_photograph_is_a_copy_of_another(found):
    assert (len(found.good), found.copies) == (989, 0)


def test_no_photograph_looks_like_one_of_another_part(pictures):
    assert find_duplicates(pictures["train"], pictures["calibration"] + pictures["test"]) == ()
    assert find_duplicates(pictures["calibration"], pictures["test"]) == ()


def test_names_say_class_and_number(photographs):
    for record in photographs.records:
        folder, number = record.id.split("/")
        assert folder == photographs.classes[record.label]
        assert number.removesuffix(".webp").isdigit()


@pytest.mark.parametrize("words", ["Fei-Fei Li", "Andreetto", "Ranzato", "Perona", "CC BY 4.0", "10.22002/D1.20086"])
def test_authors_and_licence_are_in_every_place_that_a_reader_may_look(photographs, words):
    with zipfile.ZipFile(str(archive_file())) as archive:
        places = [photographs.name, archive.read(caltech.TERMS).decode(), (ROOT / "NOTICE").read_text()]
    assert all(words in place for place in (*places, (ROOT / "docs" / "own-data.md").read_text()))


def test_photographs_are_mirrored_in_training():
    assert ImageOptions().settled(192, "caltech-20").flip
    assert not ImageOptions().settled(48, "digits-scenes").flip


def test_recipes_for_few_images_apply():
    assert [holds_fewer("caltech-20", count) for count in (989, 990)] == [False, True]


def test_pickle_holds_no_pictures(photographs):
    content = pickle.dumps(photographs)
    assert len(content) < 200_000
    assert pickle.loads(content).digest(3) == photographs.digest(3)


def test_command_shows_parts_authors_and_licence(capsys):
    assert main(["data", "caltech-20", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["splits"] == {"train": 389, "calibration": 300, "test": 300}
    assert shown["origin"] == "embedded:caltech-20"
    assert "Perona, CC BY 4.0, https://doi.org/10.22002/D1.20086" in shown["name"]
    assert (shown["copies"], shown["unreadable"], shown["contradictions"]) == (0, [], [])


def test_unpacked_archive_is_an_index_file_of_the_same_pictures(photographs, tmp_path):
    with zipfile.ZipFile(str(archive_file())) as archive:
        archive.extractall(tmp_path)
    unpacked = open_source(str(tmp_path / "index.csv"))
    assert unpacked.records == photographs.records
    assert unpacked.digest(500) == photographs.digest(500)


def test_package_in_a_zip_file_finds_its_photographs(tmp_path):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in [*PACKAGE.rglob("*.py"), PACKAGE / "classify/data/embedded/caltech-20.zip"]:
            archive.write(file, file.relative_to(PACKAGE.parent))
    code = (
        "from modicum.classify.data import caltech; source = caltech.CaltechPhotographs();"
        "print(caltech.__file__, source.pixels(0).shape, len(caltech.photograph_names()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(packed)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith(f"{packed}{os.sep}modicum")
    assert told.stdout.endswith(", 3) 989\n")


@pytest.mark.parametrize("content", [None, b"PK truncated"], ids=["missing", "damaged"])
@pytest.mark.parametrize("read", [CaltechPhotographs, photograph_names])
def test_missing_or_damaged_archive_is_named_with_what_to_do(monkeypatch, tmp_path, content, read):
    file = tmp_path / "caltech-20.zip"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(caltech, "archive_file", lambda: file)
    caltech._read_archive.cache_clear()
    with pytest.raises(DataError, match=r"embedded photographs, .*caltech-20\.zip, cannot be read: .*reinstall"):
        read()


def test_altered_photograph_is_found_on_reading(monkeypatch, tmp_path):
    content = bytearray(archive_file().read_bytes())
    content[len(content) // 2] ^= 1
    file = tmp_path / "caltech-20.zip"
    file.write_bytes(content)
    monkeypatch.setattr(caltech, "archive_file", lambda: file)
    caltech._read_archive.cache_clear()
    with pytest.raises(DataError, match="Bad CRC-32"):
        CaltechPhotographs()
