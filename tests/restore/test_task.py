import subprocess
import sys

import pytest

from modicum.restore.task import Task
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("task", "channels", "scale", "multiple", "border", "target_luma", "metric_luma"),
    [
        (Task("denoise", 50), 1, 1, 1, 0, "full-range", None),
        (Task("denoise", 15.5, colour=True), 3, 1, 1, 0, None, None),
        (Task("jpeg", 10), 1, 1, 1, 0, "studio", None),
        (Task("demosaic"), 3, 1, 2, 0, None, None),
        (Task("super-resolution", 3), 3, 3, 3, 3, None, "studio"),
    ],
)
def test_what_each_task_fixes(task, channels, scale, multiple, border, target_luma, metric_luma):
    assert (task.channels, task.scale, task.multiple, task.border) == (channels, scale, multiple, border)
    assert (task.target_luma, task.metric_luma) == (target_luma, metric_luma)


def test_only_noise_is_random():
    tasks = [Task("denoise", 50), Task("jpeg", 10), Task("demosaic"), Task("super-resolution", 2)]
    assert [task.is_random for task in tasks] == [True, False, False, False]


def test_levels_have_their_own_names():
    assert (Task("denoise", 50).sigma, Task("denoise", 50).quality) == (50, None)
    assert (Task("jpeg", 10).sigma, Task("jpeg", 10).quality) == (None, 10)


@pytest.mark.parametrize(
    ("task", "title"),
    [
        (Task("denoise", 50), "Gaussian noise, sigma 50, grey, clipped to 8 bit"),
        (Task("denoise", 25, colour=True, noise="float"), "Gaussian noise, sigma 25, colour, not clipped"),
        (Task("jpeg", 40), "JPEG compression, quality 40, luma"),
        (Task("demosaic"), "Bayer mosaic, GRBG, zero-filled"),
        (Task("super-resolution", 4), "Bicubic reduction, x4, colour"),
    ],
)
def test_title(task, title):
    assert task.title == title


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        (Task("denoise", 50), "on the full-range grey image, 8 bit, no border cut"),
        (Task("jpeg", 10), "on the studio grey image, 8 bit, no border cut"),
        (Task("demosaic"), "on all three channels together, 8 bit, no border cut"),
        (Task("super-resolution", 2), r"on the luma (16..235, not rounded) without 2 pixels at each side"),
    ],
)
def test_metric_is_stated(task, metric):
    assert task.metric == metric


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("blur", 3), "task must be one of denoise, jpeg, demosaic, super-resolution, got 'blur'"),
        (("denoise", 0), r"level of task denoise must be a sigma in \(0, 255\], such as 50; got 0"),
        (("denoise",), "level of task denoise must be a sigma .* got None"),
        (("jpeg", 10.5), "level of task jpeg must be a quality, a whole number in 1..100, such as 10; got 10.5"),
        (("demosaic", 3), "level of task demosaic must be none: a mosaic has no strength; got 3"),
        (("super-resolution", 5), "level of task super-resolution must be a scale, 2, 3 or 4; got 5"),
        (("jpeg", 10, True), "jpeg is done on the luma alone: colour must be False or none, got True"),
        (("demosaic", None, False), "demosaic is done on three channels: colour must be True or none, got False"),
        (("jpeg", 10, None, "float"), "noise must be \"clipped\" with task jpeg, got 'float'"),
    ],
)
def test_impossible_tasks_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        Task(*options)


def test_needs_no_torch():
    code = "import sys, modicum.restore.task; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
