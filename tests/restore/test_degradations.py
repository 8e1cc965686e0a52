import io

import numpy as np
import pytest
from PIL import Image

from modicum.restore.colour import full_range_grey, studio_luma_8_bit
from modicum.restore.degradations import add_noise, compress_jpeg, degrade, degrade_fixed, make_target, mosaic
from modicum.restore.resampling import downscale
from modicum.restore.task import Task

TASKS = [
    Task("denoise", 50),
    Task("denoise", 50, colour=True),
    Task("jpeg", 10),
    Task("demosaic"),
    Task("super-resolution", 3),
]


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_network_gets_and_gives_what_the_task_says(task, picture):
    target = make_target(picture(0, (41, 47, 3)), task)
    degraded = degrade(target, task, generator())
    assert (target.ndim, target.dtype, degraded.dtype) == (2 if task.channels == 1 else 3, np.uint8, np.uint8)
    assert target.shape[:2] == (degraded.shape[0] * task.scale, degraded.shape[1] * task.scale)
    assert not np.array_equal(degraded, target)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_grey_images_are_their_own_grey(task, picture):
    grey = picture(0, (42, 48))
    target = make_target(grey, task)
    assert np.array_equal(target if target.ndim == 2 else target[..., 1], grey)


def test_colour_targets_have_the_grey_of_their_task(picture):
    assert np.array_equal(make_target(picture(0), Task("denoise", 10)), full_range_grey(picture(0)))
    assert np.array_equal(make_target(picture(0), Task("jpeg", 10)), studio_luma_8_bit(picture(0)))


def test_noise_has_its_sigma_and_no_mean():
    grey = np.full((400, 400), 128, np.uint8)
    noise = add_noise(grey, 25, generator()) - 128.0
    assert abs(noise.mean()) < 0.3  # 25 / 400 is its standard error: 5 of them
    assert noise.std() == pytest.approx(25, rel=0.01)


def test_clipped_noise_is_the_float_noise_in_eight_bit(picture):
    clipped = degrade(picture(0), Task("denoise", 70, colour=True), generator(3))
    loose = degrade(picture(0), Task("denoise", 70, colour=True, noise="float"), generator(3))
    assert loose.dtype == np.float32
    assert loose.min() < 0
    assert np.array_equal(clipped, np.floor(np.clip(loose, 0, 255) + 0.5))


def test_fixed_noise_belongs_to_seed_and_image(picture):
    task, grey = Task("denoise", 10), picture(0)[..., 0]
    first = degrade_fixed(grey, task, 1, "a.png")
    assert np.array_equal(first, degrade_fixed(grey, task, 1, "a.png"))
    assert not np.array_equal(first, degrade_fixed(grey, task, 2, "a.png"))
    assert not np.array_equal(first, degrade_fixed(grey, task, 1, "b.png"))


def test_noise_does_not_touch_the_global_generator(picture):
    state = np.random.get_state()[1].copy()
    degrade(picture(0), Task("denoise", 10, colour=True), generator())
    assert np.array_equal(np.random.get_state()[1], state)


def test_jpeg_is_what_a_file_would_hold(picture):
    grey = picture(0)[..., 0]
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=10)
    assert np.array_equal(compress_jpeg(grey, 10), np.asarray(Image.open(stream)))


def test_lower_quality_is_worse(picture):
    grey = picture(0)[..., 0].astype(int)
    errors = [np.abs(compress_jpeg(grey.astype(np.uint8), quality) - grey).mean() for quality in (10, 40, 90)]
    assert errors == sorted(errors, reverse=True)


def test_mosaic_is_grbg_with_zeros():
    rgb = np.full((2, 4, 3), (1, 2, 3), np.uint8)
    assert mosaic(rgb).sum(axis=2).tolist() == [[2, 1, 2, 1], [3, 2, 3, 2]]
    assert mosaic(rgb)[0, 1].tolist() == [1, 0, 0]


def test_mosaic_of_a_part_at_even_pixels_is_a_part_of_the_mosaic(picture):
    assert np.array_equal(mosaic(picture(0)[6:20, 4:30]), mosaic(picture(0))[6:20, 4:30])


def test_super_resolution_gets_the_bicubic_reduction(picture):
    target = make_target(picture(0, (41, 47, 3)), Task("super-resolution", 2))
    assert target.shape == (40, 46, 3)
    assert np.array_equal(degrade(target, Task("super-resolution", 2), generator()), downscale(target, 2))
