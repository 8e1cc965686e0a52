import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.datasets.images import StoredImage
from modicum.restore.degradations import mosaic
from modicum.restore.patch_options import PatchOptions
from modicum.restore.patches import (
    DegradedImages,
    TrainingPatches,
    ValidationPatches,
    train_loader,
    validation_loader,
)
from modicum.restore.resampling import downscale
from modicum.restore.sources import clean_pixels
from modicum.restore.task import Task

NOISE, JPEG, MOSAIC, REDUCED = Task("denoise", 50), Task("jpeg", 10), Task("demosaic"), Task("super-resolution", 2)
TASKS = [NOISE, Task("denoise", 50, colour=True), JPEG, MOSAIC, REDUCED]
OPTIONS = PatchOptions(side=16, batch_size=4, per_epoch=24)


def same(content):
    return content


@pytest.fixture(scope="module")
def stored(picture):
    """Function from a number to so many different images of 40x48 pixels."""

    def make(count, shape=(40, 48, 3)):
        images = []
        for number in range(count):
            stream = io.BytesIO()
            Image.fromarray(picture(number, shape)).save(stream, "PNG")
            images.append(StoredImage(f"{number}.png", partial(same, stream.getvalue())))
        return images

    return make


@pytest.fixture(scope="module")
def images(stored):
    return stored(5)


def epoch_of(patches, **options):
    return list(train_loader(patches, **({"epoch": 0} | options)))


def with_options(**changes):
    return PatchOptions(**({"side": 16, "batch_size": 4, "per_epoch": 24} | changes))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_batches_have_the_shapes_of_the_task(images, task):
    batches = epoch_of(TrainingPatches(images, task, OPTIONS))
    side = 16 * task.scale
    assert [batch.inputs.shape for batch in batches] == [(4, task.channels, 16, 16)] * 6
    assert [batch.targets.shape for batch in batches] == [(4, task.channels, side, side)] * 6
    assert {batch.inputs.dtype for batch in batches} == {torch.float32}
    assert 128 < max(float(batch.inputs.max()) for batch in batches) <= 255


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_resumed_epoch_equals_the_uninterrupted_one(images, task, fixed):
    options = with_options(fixed=fixed)
    patches = TrainingPatches(images, task, options, seed=3)
    epoch_of(patches, epoch=0)
    third = epoch_of(patches, epoch=2)
    again = epoch_of(TrainingPatches(images, task, options, seed=3), epoch=2)
    torch.testing.assert_close(third, again, rtol=0, atol=0)


def test_patches_are_the_same_with_and_without_workers(images):
    alone = epoch_of(TrainingPatches(images, NOISE, OPTIONS))
    helped = epoch_of(TrainingPatches(images, NOISE, with_options(num_workers=2)))
    torch.testing.assert_close(helped, alone, rtol=0, atol=0)


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 6}])
def test_patches_change_with_epoch_and_seed(images, other):
    first = epoch_of(TrainingPatches(images, NOISE, OPTIONS, seed=5))
    second = epoch_of(TrainingPatches(images, NOISE, OPTIONS, seed=other.get("seed", 5)), epoch=other.get("epoch", 0))
    assert not torch.equal(first[0].targets, second[0].targets)


def test_ranks_share_the_batches_of_one(images):
    alone = epoch_of(TrainingPatches(images, NOISE, with_options(batch_size=8)))
    patches = TrainingPatches(images, NOISE, OPTIONS)
    ranks = [epoch_of(patches, rank=rank, world_size=2) for rank in range(2)]
    assert [len(batches) for batches in ranks] == [3, 3]
    for whole, first, second in zip(alone, *ranks, strict=True):
        assert torch.equal(whole.targets[0::2], first.targets)
        assert torch.equal(whole.targets[1::2], second.targets)


def test_there_is_at_least_one_batch(images):
    assert len(epoch_of(TrainingPatches(images, NOISE, with_options(per_epoch=1)))) == 1


def test_loading_leaves_the_global_generators_alone(images):
    torch.default_generator.manual_seed(1)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    epoch_of(TrainingPatches(images, NOISE, OPTIONS))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)


def windows_of(image, side):
    """All windows of an image in all 8 positions, as bytes."""
    found = set()
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1)).reshape(-1, side, side)
    for view in (*views, *views.swapaxes(1, 2)):
        for turned in (view, view[::-1], view[:, ::-1], view[::-1, ::-1]):
            found.add(turned.tobytes())
    return found


def test_targets_are_windows_of_the_images(stored):
    images = stored(2, (20, 22))
    windows = set().union(*(windows_of(clean_pixels(image), 16) for image in images))
    patches = TrainingPatches(images, NOISE, OPTIONS)
    assert all(np.ascontiguousarray(patches[position].target).tobytes() in windows for position in range(24))


def test_all_eight_positions_occur(stored):
    patches = TrainingPatches(stored(1, (16, 16)), NOISE, with_options(per_epoch=100))
    assert len({np.ascontiguousarray(patches[position].target).tobytes() for position in range(100)}) == 8


def test_without_flips_the_only_window_is_the_image(stored):
    images = stored(1, (16, 16))
    patches = TrainingPatches(images, NOISE, with_options(flip=False))
    assert all(np.array_equal(patches[position].target, clean_pixels(images[0])) for position in range(8))


def test_mosaics_keep_their_order_in_turned_patches(images):
    patches = TrainingPatches(images, MOSAIC, OPTIONS)
    for position in range(24):
        degraded, target = patches[position]
        assert np.array_equal(degraded, mosaic(target))


def test_reduced_patches_lie_where_their_targets_do(stored):
    images = stored(1, (32, 32, 3))
    patches = TrainingPatches(images, REDUCED, with_options(flip=False))
    assert np.array_equal(patches[0].degraded, downscale(clean_pixels(images[0]), 2))


def test_jpeg_patches_are_cut_from_whole_images(stored):
    images = stored(1, (48, 48))
    (whole,) = DegradedImages(images, JPEG)
    windows = windows_of(whole.degraded, 16)
    patches = TrainingPatches(images, JPEG, OPTIONS)
    assert all(np.ascontiguousarray(patches[position].degraded).tobytes() in windows for position in range(24))


def test_fixed_noise_is_the_same_in_every_epoch(stored):
    images = stored(1, (16, 16))
    patches = TrainingPatches(images, NOISE, with_options(flip=False, fixed=True))
    first = patches[0].degraded
    patches.set_epoch(1)
    assert np.array_equal(patches[5].degraded, first)


def test_fresh_noise_is_not(stored):
    patches = TrainingPatches(stored(1, (16, 16)), NOISE, with_options(flip=False))
    assert not np.array_equal(patches[0].degraded, patches[1].degraded)


@pytest.mark.parametrize("task", [NOISE, JPEG], ids=lambda task: task.name)
def test_memory_limit_changes_nothing_but_time(images, task):
    kept = epoch_of(TrainingPatches(images, task, OPTIONS))
    read = epoch_of(TrainingPatches(images, task, with_options(memory_gib=0)))
    some = epoch_of(TrainingPatches(images, task, with_options(memory_gib=5000 / 2**30)))
    torch.testing.assert_close(read, kept, rtol=0, atol=0)
    torch.testing.assert_close(some, kept, rtol=0, atol=0)


def test_images_that_fit_are_read_once(images):
    reads = []
    counted = [StoredImage(image.id, lambda image=image: reads.append(image.id) or image.content()) for image in images]
    patches = TrainingPatches(counted, NOISE, OPTIONS)
    epoch_of(patches)
    assert sorted(reads) == sorted(image.id for image in images)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="the training part is empty: there is nothing to cut patches from"):
        TrainingPatches([], NOISE, OPTIONS)


def test_unclipped_noise_goes_beyond_the_range(images):
    task = Task("denoise", 50, noise="float")
    batches = epoch_of(TrainingPatches(images, task, OPTIONS))
    assert min(float(batch.inputs.min()) for batch in batches) < 0


def test_degraded_images_belong_to_seed_and_name(images):
    first, again = DegradedImages(images, NOISE, seed=1), DegradedImages(images[1:], NOISE, seed=1, memory_gib=1)
    other = DegradedImages(images, NOISE, seed=2)
    assert np.array_equal(first[1].degraded, again[0].degraded)
    assert not np.array_equal(first[1].degraded, other[1].degraded)
    assert len(list(first)) == len(first) == 5


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_validation_sees_the_centre_of_each_image(images, task):
    whole = DegradedImages(images, task)
    patches = ValidationPatches(whole, 16)
    batches = list(validation_loader(patches, 2))
    assert [len(batch.inputs) for batch in batches] == [2, 2, 1]
    height, width = whole[0].degraded.shape[:2]
    top, left = (height - 16) // 4 * 2, (width - 16) // 4 * 2
    assert np.array_equal(patches[0].degraded, whole[0].degraded[top : top + 16, left : left + 16])
    if task is MOSAIC:
        assert np.array_equal(patches[0].degraded, mosaic(patches[0].target))


def test_validation_is_as_large_as_the_smallest_image_allows(stored):
    images = [*stored(1, (40, 48, 3)), *stored(1, (25, 60, 3))]
    assert ValidationPatches(DegradedImages(images, NOISE), 96).side == 24
