import logging
import tarfile

import pytest

from modicum.classify.counting import holds_fewer
from modicum.systems import SYSTEMS, recipe_for

SYSTEMS_WITH_FEW = [system for system in SYSTEMS.values() if system.few_data_recipe]


@pytest.fixture
def photos(write_tree):
    return write_tree(*(f"photos/{name}/{number}.png" for name in ("cat", "dog") for number in range(4))) / "photos"


def as_tar(photos, file):
    with tarfile.open(file, "w") as archive:
        archive.add(photos, arcname=".")
    return file


def as_index(photos, file):
    file.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in photos.rglob("*.png")))
    return file


@pytest.mark.parametrize("form", ["folder", "tar", "index"])
def test_images_are_counted_by_their_names(photos, tmp_path, form):
    data = {"folder": lambda: photos, "tar": lambda: as_tar(photos, tmp_path / "a.tar")}.get(
        form, lambda: as_index(photos, tmp_path / "a.csv")
    )()
    assert [holds_fewer(str(data), count) for count in (8, 9)] == [False, True]


def test_nothing_to_count_is_no_small_set(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"")
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    assert not any(holds_fewer(str(path), 9) for path in (tmp_path, tmp_path / "broken.tar", tmp_path / "missing"))


@pytest.mark.parametrize("system", SYSTEMS_WITH_FEW, ids=lambda system: system.id)
def test_small_set_gets_the_recipe_for_few_images_and_the_choice_is_told(system, photos, caplog):
    with caplog.at_level(logging.INFO):
        assert recipe_for(system, str(photos)) == system.few_data_recipe
    assert f"holds fewer than 1000 images: the recipe is {system.few_data_recipe}" in caplog.text


@pytest.mark.parametrize("system", SYSTEMS_WITH_FEW, ids=lambda system: system.id)
def test_larger_set_keeps_the_recipe_for_own_data(system, photos, monkeypatch):
    monkeypatch.setattr("modicum.systems.FEW_IMAGES", 8)
    assert recipe_for(system, str(photos)) == system.own_data_recipe
    assert recipe_for(system, None) == system.default_recipe
