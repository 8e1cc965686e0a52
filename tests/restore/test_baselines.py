import importlib.util

import numpy as np
import pytest

from modicum.restore.baselines import baselines_for, malvar_demosaic
from modicum.restore.degradations import degrade_fixed, make_target, mosaic
from modicum.restore.metrics import psnr, score
from modicum.restore.pixels import as_colour
from modicum.restore.resampling import upscale
from modicum.restore.task import Task

TASKS = [
    Task("denoise", 50),
    Task("denoise", 50, noise="float"),
    Task("denoise", 50, colour=True),
    Task("denoise", 50, colour=True, noise="float"),
    Task("jpeg", 10),
    Task("demosaic"),
    Task("super-resolution", 2),
]


def pair(task, picture):
    target = make_target(picture(3, (40, 40, 3)), task)
    return degrade_fixed(target, task, 0, "picture"), target


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (TASKS[0], ["noisy", "BM3D", "nl-means", "TV", "wavelet"]),
        (TASKS[2], ["noisy", "CBM3D", "nl-means", "TV", "wavelet"]),
        (TASKS[4], ["JPEG", "TV", "nl-means"]),
        (TASKS[5], ["zero-filled mosaic", "bilinear", "Malvar", "Menon"]),
        (TASKS[6], ["bicubic"]),
    ],
)
def test_each_task_has_its_baselines(task, names):
    found = baselines_for(task)
    assert [baseline.name for baseline in found.rows] == names
    assert found.missing == ()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_every_baseline_beats_the_degraded_image(task, picture):
    degraded, target = pair(task, picture)
    first, *others = (score(baseline.restore(degraded), target, task).psnr for baseline in baselines_for(task).rows)
    assert all(other > first for other in others)


@pytest.mark.parametrize("task", TASKS[:-1], ids=lambda task: task.title)
def test_first_row_is_the_degraded_image(task, picture):
    degraded, _ = pair(task, picture)
    assert np.array_equal(baselines_for(task).rows[0].restore(degraded), degraded)


def test_super_resolution_stands_beside_bicubic_enlargement(picture):
    degraded, _ = pair(TASKS[-1], picture)
    assert np.array_equal(baselines_for(TASKS[-1]).rows[0].restore(degraded), upscale(degraded, 2))


@pytest.mark.parametrize("task", [TASKS[1], TASKS[4], TASKS[5]], ids=lambda task: task.title)
def test_baselines_leave_their_input_alone(task, picture):
    degraded, _ = pair(task, picture)
    before = degraded.copy()
    for baseline in baselines_for(task).rows:
        baseline.restore(degraded)
    assert np.array_equal(degraded, before)


@pytest.mark.parametrize("name", ["bilinear", "Malvar", "Menon"])
def test_demosaicing_keeps_the_samples_and_flat_colours(name):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    baseline = next(b for b in baselines_for(Task("demosaic")).rows if b.name == name)
    np.testing.assert_allclose(baseline.restore(mosaic(flat)), flat, atol=1e-9)


def bilinear_plain(image):
    """Means over the samples of a colour in the 3x3 pixels around each pixel, the usual masks, inside the image."""
    height, width = image.shape[:2]
    kept = np.zeros(image.shape, bool)
    kept[0::2, 0::2, 1] = kept[1::2, 1::2, 1] = kept[0::2, 1::2, 0] = kept[1::2, 0::2, 2] = True
    result = np.zeros(image.shape)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            for channel in range(3):
                near = kept[row - 1 : row + 2, column - 1 : column + 2, channel].copy()
                if kept[row, column, channel]:
                    near[:] = np.arange(9).reshape(3, 3) == 4
                values = image[row - 1 : row + 2, column - 1 : column + 2, channel]
                result[row, column, channel] = values[near].mean()
    return result[1:-1, 1:-1]


def test_bilinear_demosaicing_equals_the_plain_form(picture):
    image = picture(5, (12, 14, 3))
    baseline = baselines_for(Task("demosaic")).rows[1]
    difference = baseline.restore(mosaic(image))[1:-1, 1:-1] - bilinear_plain(image)
    assert np.abs(difference).max() <= 0.5  # OpenCV rounds to 8 bit


def test_malvar_is_sharper_than_bilinear(picture):
    image = as_colour(picture(7, (48, 48)))  # its colours are alike, as Malvar's correction takes them to be
    bilinear = baselines_for(Task("demosaic")).rows[1].restore(mosaic(image))
    assert psnr(malvar_demosaic(mosaic(image)), image) > psnr(bilinear, image) + 3


def test_missing_library_leaves_its_row_out_and_says_so(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bm3d" else find(name))
    found = baselines_for(Task("denoise", 50))
    assert [baseline.name for baseline in found.rows] == ["noisy", "nl-means", "TV", "wavelet"]
    assert found.missing == ("BM3D is left out; to have it, in your clone of modicum, run: pip install -e '.[bm3d]'",)


def test_licence_of_bm3d_is_stated():
    assert "non-commercial licence" in baselines_for(Task("denoise", 50)).rows[1].note
