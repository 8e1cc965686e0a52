import json

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.classify import preparation
from modicum.classify.preparation import prepare
from modicum.classify.recipe import ImageOptions
from modicum.storage.errors import DataError, RecipeError
from modicum.storage.runs import RunFolder

OPTIONS = ImageOptions(batch_size=4, crop="none", flip=False)


@pytest.fixture
def folder(tmp_path):
    """Two classes of twenty pictures of 20 x 16 px."""
    rng = np.random.default_rng(0)
    for number in range(40):
        file = tmp_path / "images" / f"class{number % 2}" / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(file)
    return tmp_path / "images"


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", system="test", recipe_text="", command="", versions={})


def prepared(folder, run, options=OPTIONS, seed=0):
    return prepare(str(folder), options, 16, seed, run)


def order(data, stage, epoch=0, rank=0, world_size=1, train=None):
    return torch.cat([batch.positions for batch in data.loaders(stage, train).train(epoch, rank, world_size)]).tolist()


def test_splits_are_drawn_once_and_kept(folder, run):
    first = prepared(folder, run)
    kept = run.splits.read_text()
    again = prepared(folder, run, seed=5)  # another seed would draw others
    assert again.splits == first.splits
    assert run.splits.read_text() == kept


def test_parts_have_the_asked_shares(folder, run):
    options = ImageOptions(batch_size=4, calibration_share=0.2, test_share=0.3)
    assert prepared(folder, run, options).splits.sizes() == {"train": 20, "calibration": 8, "test": 12}


def test_process_without_a_run_folder_draws_the_same_splits(folder, run, tmp_path):
    elsewhere = RunFolder(tmp_path / "not yet")
    assert prepared(folder, elsewhere).splits == prepared(folder, run).splits
    assert not elsewhere.path.exists()


def test_each_stage_and_epoch_has_an_order_of_its_own(folder, run):
    data = prepared(folder, run)
    orders = [order(data, "joint"), order(data, "joint", epoch=1), order(data, "plain")]
    assert len({tuple(places) for places in orders}) == 3
    assert order(data, "joint") == orders[0]


def test_stage_can_train_on_some_of_the_images(folder, run):
    data = prepared(folder, run)
    some = data.splits.indices(data.source, "train")[:8]
    assert sorted(order(data, "fold0", train=some)) == list(range(8))


def test_stage_is_watched_on_the_calibration_part(folder, run):
    data = prepared(folder, run)
    labels = torch.cat([batch.labels for batch in data.loaders("joint").validation()])
    expected = [data.source.records[index].label for index in data.splits.indices(data.source, "calibration")]
    assert labels.tolist() == expected


def test_part_is_the_same_on_every_iteration_and_in_the_order_of_its_ids(folder, run):
    data = prepared(folder, run)
    batches = data.evaluate_on("test")
    (images, labels), (again, _) = (next(iter(batches)) for _ in range(2))
    assert torch.equal(images, again)
    assert [f"class{label}" for label in labels.tolist()] == [name.split("/")[0] for name in data.splits.part("test")]


@pytest.mark.parametrize(("most_kept", "decoded"), [(2**28, 1), (10, 3)])
def test_part_is_decoded_once_unless_it_is_large(folder, run, monkeypatch, most_kept, decoded):
    monkeypatch.setattr(preparation, "MOST_KEPT_BYTES", most_kept)
    data, names = prepared(folder, run), []
    pixels = type(data.source).pixels
    monkeypatch.setattr(type(data.source), "pixels", lambda source, index: names.append(index) or pixels(source, index))
    batches = data.evaluate_on("test")
    with torch.inference_mode():
        first = list(batches)
    for again in (list(batches), list(batches)):
        assert all(torch.equal(*pair) for pair in zip(again[0], first[0], strict=True))
        assert not again[0][0].is_inference()  # gradients may be computed from it
    assert len(names) == decoded * len(data.splits.test)


def test_evaluated_images_are_normalised_crops(folder, run):
    data = prepared(folder, run)
    index = data.splits.indices(data.source, "test")[0]
    image = next(iter(data.evaluate_indices([index])))[0]
    shown = np.asarray(data.picture(index), np.float32) / 255
    mean, std = data.preprocessing.mean, data.preprocessing.std
    expected = (shown - np.array(mean, np.float32)) / np.array(std, np.float32)
    np.testing.assert_allclose(image[0].permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-5)
    assert data.picture(index).size == (16, 16)


def test_unreadable_image_is_named_and_left_out(folder, run, caplog):
    (folder / "class0" / "00.png").write_bytes(b"")
    data = prepared(folder, run)
    assert sum(data.splits.sizes().values()) == 39
    assert "left out class0/00.png: the file is empty" in caplog.text


def test_strict_refuses_unreadable_images(folder, run):
    (folder / "class0" / "00.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class0/00\.png"):
        prepared(folder, run, ImageOptions(strict=True))
    assert not run.splits.exists()


def test_damaged_splits_are_refused(folder, run):
    run.splits.write_text(json.dumps({"train": []}))
    with pytest.raises(DataError, match=r"splits\.json"):
        prepared(folder, run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_scale": 0}, r"images\.min_scale must be in \(0, 1\], got 0"),
        ({"batch_size": 1}, r"images\.batch_size must be at least 2, for batch normalisation, got 1"),
        ({"test_share": 0}, "must be above 0 and leave something to train on, got 0.15 and 0"),
        (
            {"test_share": 0.6, "calibration_share": 0.4},
            "must be above 0 and leave something to train on, got 0.4 and 0.6",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        ImageOptions(**options)


def test_picture_that_changed_behind_its_name_is_noticed(folder, run):
    changed = prepared(folder, run).splits.test[0]
    Image.new("RGB", (20, 16), "red").save(folder / changed)
    with pytest.raises(
        DataError, match=rf"^1 of 40 samples of .*images are not what .*run was begun with: '{changed}'"
    ):
        prepared(folder, run)
    prepare(str(folder), OPTIONS, 16, 0, run, parts=("calibration",))


def test_label_that_changed_behind_a_name_is_noticed(folder, run):
    index = folder / "index.csv"
    rows = [f"class{number % 2}/{number:02d}.png,{number % 2}" for number in range(40)]
    index.write_text("\n".join(["path,label", *rows]))
    prepared(index, run)
    index.write_text("\n".join(["path,label", *rows]).replace("class0/02.png,0", "class0/02.png,1"))
    with pytest.raises(DataError, match=r"1 of 40 samples .*'class0/02\.png' changed"):
        prepared(index, run)


def test_small_set_is_gone_through_until_an_epoch_has_shown_enough(folder, run):
    data = prepared(folder, run, ImageOptions(batch_size=4, crop="pad", flip=False, least_per_epoch=100))
    places = order(data, "joint")
    assert len(places) >= 100
    assert {places.count(position) for position in range(28)} == {len(places) // 28}


def test_part_of_a_small_set_is_shown_as_often_as_the_whole(folder, run):
    data = prepared(folder, run, ImageOptions(batch_size=4, crop="pad", flip=False, least_per_epoch=100))
    some = data.splits.indices(data.source, "train")[:8]
    assert len(order(data, "fold0", train=some)) == 8 * 4


def test_large_set_is_shown_once(folder, run):
    assert len(order(prepared(folder, run, ImageOptions(batch_size=4, least_per_epoch=20)), "joint")) == 28
