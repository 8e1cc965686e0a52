"""What published tables give for the degraded images themselves: the check of a pipeline before any network."""

import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from modicum.imaging.decoding import decode_pixels
from modicum.restore.degradations import degrade, make_target
from modicum.restore.metrics import mean_scores, psnr, score
from modicum.restore.pixels import simplest_form
from modicum.restore.resampling import upscale
from modicum.restore.task import Task

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def images(real_data):
    """Function from the name of a set to its images."""

    def read(name):
        with tarfile.open(real_data / "restoration_test" / f"{name}.tar") as tar:
            contents = [tar.extractfile(member).read() for member in tar if member.isreg()]
        with ThreadPoolExecutor() as pool:
            return [simplest_form(pixels) for pixels in pool.map(decode_pixels, contents)]

    return read


@pytest.mark.parametrize(
    ("quality", "decibels", "similarity"),
    [(10, 27.821, 0.7595), (20, 30.123, 0.8344), (30, 31.484, 0.8666), (40, 32.428, 0.8849)],
)
def test_jpeg_of_classic5(images, quality, decibels, similarity):
    task = Task("jpeg", quality)
    targets = [make_target(image, task) for image in images("Classic5")]
    result = mean_scores(score(degrade(t, task, np.random.default_rng(0)), t, task) for t in targets)
    assert result.psnr == pytest.approx(decibels, abs=5e-4)
    assert result.ssim == pytest.approx(similarity, abs=5e-5)


@pytest.mark.parametrize(("scale", "decibels"), [(2, 33.674), (3, 30.405), (4, 28.430)])
def test_bicubic_of_set5(images, scale, decibels):
    task = Task("super-resolution", scale)
    targets = [make_target(image, task) for image in images("Set5")]
    inputs = [degrade(target, task, np.random.default_rng(0)) for target in targets]
    result = mean_scores(score(upscale(i, scale), t, task) for i, t in zip(inputs, targets, strict=True))
    assert result.psnr == pytest.approx(decibels, abs=5e-4)


def test_mosaic_of_kodak24(images):
    task = Task("demosaic")
    targets = [make_target(image, task) for image in images("Kodak24")]
    decibels = [psnr(degrade(target, task, np.random.default_rng(0)), target) for target in targets]
    assert np.mean(decibels) == pytest.approx(8.558, abs=5e-4)


def test_clipped_noise_of_bsd68_is_quieter_than_its_sigma(images):
    task = Task("denoise", 50)
    targets = [make_target(image, task) for image in images("BSD68")[:8]]
    noisy = [degrade(t, task, np.random.default_rng(n)) for n, t in enumerate(targets)]
    decibels = np.mean([psnr(n, t) for n, t in zip(noisy, targets, strict=True)])
    assert 14.5 < decibels < 16.5  # without clipping it would be 14.15
