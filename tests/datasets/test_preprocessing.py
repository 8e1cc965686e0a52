import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modicum.datasets.preprocessing import Preprocessing, default_resize_short


def ramp(height, width):
    rows, columns = np.mgrid[:height, :width]
    channels = (255 * rows / height, 255 * columns / width, 255 * (rows + columns) / (height + width))
    return np.stack(channels, 2).astype(np.uint8)


def test_plain_dict_and_json_bring_it_back():
    made = Preprocessing(32, 36, mean=(0.1, 0.2, 0.3), crop="pad", flip=False)
    assert Preprocessing(**json.loads(json.dumps(dataclasses.asdict(made)))) == made


def test_usual_short_side_is_256_for_224():
    assert [default_resize_short(size) for size in (224, 112, 48)] == [256, 128, 55]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize_short": 16}, "size <= resize_short must hold, got size 32, short 16"),
        ({"size": 0}, "1 <= size"),
        ({"std": (1.0, 0.0, 1.0)}, r"std must be in \[0\.001, 10\]"),
        ({"mean": (0.5,)}, "three finite numbers"),
        ({"crop": "centre"}, "crop must be one of random_resized, pad, none, got 'centre'"),
        ({"min_scale": 0.0}, r"min_scale must be in \(0, 1\], got 0.0"),
    ],
)
def test_impossible_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**({"size": 32, "resize_short": 32} | options))


def test_picture_of_the_right_size_is_left_as_it_is():
    picture = ramp(32, 32)
    tensor = Preprocessing(32, 37).eval_transform()(picture)
    np.testing.assert_array_equal(tensor.permute(1, 2, 0), picture)


@pytest.mark.parametrize("shape", [(64, 64), (50, 90), (90, 50), (20, 20), (32, 64)])
def test_eval_transform_matches_pillow_within_rounding(shape):
    picture = Image.fromarray(ramp(*shape))
    height, width = (int(40 * side / min(shape)) for side in shape)
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 32) / 2), round((height - 32) / 2)
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32))).astype(int)
    found = Preprocessing(32, 40).eval_transform()(picture).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 2


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    crop=st.sampled_from(["random_resized", "pad", "none"]),
)
def test_any_picture_becomes_a_square_of_bytes(height, width, crop):
    made = Preprocessing(24, 28, crop=crop)
    for transform in (made.eval_transform(), made.train_transform()):
        tensor = transform(ramp(height, width))
        assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((3, 24, 24), torch.uint8, True)


def test_extreme_strip_takes_little_memory():
    assert Preprocessing(224, 256).eval_transform()(np.zeros((1, 1_000_000, 3), np.uint8)).shape == (3, 224, 224)


def test_picture_array_and_tensor_give_the_same():
    array = ramp(40, 50)
    transform = Preprocessing(24, 28).eval_transform()
    forms = (Image.fromarray(array), array, torch.from_numpy(array).permute(2, 0, 1))
    first, second, third = (transform(form) for form in forms)
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_read_only_arrays_are_accepted_and_nothing_is_shared():
    array = ramp(24, 24)
    tensor = Preprocessing(24, 28).eval_transform()(array)
    tensor.zero_()
    assert array.any()
    array.flags.writeable = False
    Preprocessing(24, 28).eval_transform()(array)


@pytest.mark.parametrize("picture", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), torch.zeros(3, 5, 5)])
def test_other_arrays_are_refused(picture):
    with pytest.raises(ValueError, match=r"must be .* uint8, got"):
        Preprocessing(24, 28).eval_transform()(picture)


@pytest.mark.parametrize(
    ("crop", "flip", "is_random"),
    [("none", False, False), ("none", True, True), ("pad", False, True), ("random_resized", False, True)],
)
def test_transform_knows_whether_it_is_random(crop, flip, is_random):
    made = Preprocessing(24, 28, crop=crop, flip=flip)
    assert made.train_transform().is_random is is_random
    assert made.eval_transform().is_random is False


def test_padded_crop_shifts_by_at_most_an_eighth():
    picture = np.full((32, 32, 3), 255, np.uint8)
    transform = Preprocessing(32, 32, crop="pad").train_transform()
    kept = torch.stack([transform(picture) for _ in range(50)]).float().mean((1, 2, 3)) / 255
    assert (28 / 32) ** 2 <= kept.min() < kept.max() <= 1


def test_random_resized_crop_keeps_the_smallest_scale():
    picture = ramp(64, 64)
    transform = Preprocessing(32, 32, min_scale=0.9, flip=False).train_transform()
    spans = [int(t[1].max()) - int(t[1].min()) for t in (transform(picture) for _ in range(30))]
    assert min(spans) > 255 * 0.75  # the aspect ratio may take a little more than the scale


def test_trivial_augmentation_changes_pictures_as_the_seed_says():
    transform = Preprocessing(32, 32, crop="none", flip=False, trivial_augment=True).train_transform()
    assert transform.is_random
    torch.manual_seed(0)
    changed = [transform(ramp(32, 32)) for _ in range(10)]
    torch.manual_seed(0)
    assert all(torch.equal(transform(ramp(32, 32)), each) for each in changed)
    assert len({each.numpy().tobytes() for each in changed}) > 5
    assert {(each.dtype, each.shape) for each in changed} == {(torch.uint8, (3, 32, 32))}


def test_normalise_matches_the_formula():
    made = Preprocessing(4, 4, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    batch = torch.arange(2 * 3 * 16).view(2, 3, 4, 4).to(torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    torch.testing.assert_close(made.normalise(batch), (batch / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_normalise_accepts_an_empty_batch():
    assert Preprocessing(4, 4).normalise(torch.zeros(0, 3, 4, 4, dtype=torch.uint8)).shape == (0, 3, 4, 4)


def test_transforms_survive_pickling():
    transform = pickle.loads(pickle.dumps(Preprocessing(24, 28).train_transform()))
    assert transform(ramp(30, 30)).shape == (3, 24, 24)
