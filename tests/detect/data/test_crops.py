import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.datasets.loaders import EpochSamples, seeded
from modicum.detect.boxes import Objects
from modicum.detect.data.crops import CropMaker, CropOptions, collate, draw_crop
from modicum.detect.data.scenes import ScatteredMarks
from modicum.storage.errors import DataError

PLAIN = {"jitter": 0.0, "flip": False, "brightness": 0.0}


def objects(*boxes, ignored=0):
    count = len(boxes)
    flags = torch.tensor([number < ignored for number in range(count)], dtype=torch.bool)
    return Objects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.zeros(count, dtype=torch.int64), flags
    )


def picture_of(box, size=(300, 200)):
    """A black picture with one white box, so that what a crop shows can be compared with what it states."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("flip", [False, True])
def test_stated_boxes_are_where_the_objects_are_shown(scale, flip):
    box = (100, 60, 180, 140)
    options = CropOptions(96, (scale, scale), **{**PLAIN, "flip": flip, "jitter": 0.2}, on_objects=1.0)
    seen = 0
    for seed in range(20):
        with seeded(seed):
            crop = draw_crop(picture_of(box), objects(box), options)
        white = (crop.image[0] > 200).nonzero()
        for left, top, right, bottom in crop.boxes.tolist():
            seen += 1
            assert [*white.amin(0).flip(0), *(white.amax(0) + 1).flip(0)] == pytest.approx(
                [left, top, right, bottom], abs=1.5
            )
    assert seen >= 15


def test_crop_beyond_a_small_picture_shows_plain_ground_there():
    image = torch.full((3, 20, 30), 255, dtype=torch.uint8)
    crop = draw_crop(image, objects((2, 2, 12, 12)), CropOptions(64, **PLAIN))
    shown = (crop.image == 255).all(0)
    assert int(shown.sum()) == 20 * 30
    assert crop.image[:, ~shown].unique(dim=1).flatten().tolist() == [124, 116, 104]
    assert len(crop.boxes) == 1


def test_ignored_objects_are_painted_over_and_not_stated():
    box = (100, 60, 180, 140)
    crop = draw_crop(picture_of(box), objects(box, ignored=1), CropOptions(192, **PLAIN))
    assert len(crop.boxes) == 0
    assert not (crop.image > 200).any()


def test_object_of_which_too_little_is_visible_is_not_stated():
    image, box = torch.zeros(3, 64, 64, dtype=torch.uint8), (0.0, 0.0, 200.0, 20.0)
    options = CropOptions(64, **PLAIN, least_visible=0.4)
    assert len(draw_crop(image, objects(box), options).boxes) == 0  # 64 of 200 px
    assert len(draw_crop(image, objects((0.0, 0.0, 100.0, 20.0)), options).boxes) == 1


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    edges=st.lists(st.tuples(*[st.floats(0, 300)] * 4), max_size=5),
    scale=st.floats(0.1, 1.5),
    seed=st.integers(0, 1000),
)
def test_boxes_of_any_crop_lie_in_it_and_are_not_empty(width, height, edges, scale, seed):
    limit = torch.tensor([width, height] * 2, dtype=torch.float32)
    stated = torch.tensor(edges, dtype=torch.float32).reshape(-1, 4).minimum(limit)
    ordered = torch.cat((torch.minimum(stated[:, :2], stated[:, 2:]), torch.maximum(stated[:, :2], stated[:, 2:])), 1)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    with seeded(seed):
        crop = draw_crop(image, objects(*ordered.tolist()), CropOptions(64, (scale, scale)))
    assert crop.image.shape == (3, 64, 64)
    assert ((crop.boxes >= 0) & (crop.boxes <= 64)).all()
    assert ((crop.boxes[:, 2:] - crop.boxes[:, :2]) >= 2).all()


def test_crops_depend_on_seed_epoch_and_number_alone():
    source = ScatteredMarks(side=256, sizes=(3, 1, 1))
    whole = CropMaker(source, [0, 1, 2], CropOptions(64))
    nothing_kept = pickle.loads(pickle.dumps(CropMaker(source, [0, 1, 2], CropOptions(64), keep_bytes=0)))
    one, other = (EpochSamples(range(6), make, seed=3) for make in (whole, nothing_kept))
    first = [one.of_epoch(1)[place].image for place in range(6)]
    assert all(torch.equal(a, other.of_epoch(1)[place].image) for place, a in reversed(list(enumerate(first))))
    assert not torch.equal(first[0], one.of_epoch(2)[0].image)
    assert not torch.equal(first[0], first[1])


def test_batch_holds_shares_of_white_and_boxes_of_each_crop():
    source = ScatteredMarks(side=256, sizes=(3, 1, 1))
    samples = EpochSamples(range(4), CropMaker(source, [0, 1, 2], CropOptions(64)))
    batch = collate([samples[place] for place in range(4)])
    assert batch.images.shape == (4, 3, 64, 64)
    assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 1
    assert [len(boxes) for boxes in batch.boxes] == [len(labels) for labels in batch.labels]


def test_no_picture_to_draw_from_is_refused():
    with pytest.raises(DataError, match="no picture of embedded:scattered-marks is left to draw crops from"):
        CropMaker(ScatteredMarks(), [], CropOptions())
