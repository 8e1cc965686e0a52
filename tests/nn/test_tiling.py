import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modicum.measuring.memory import peak_memory
from modicum.nn.tiling import Tiling, plan_tiling, run_tiled, smallest_tile


def draw(channels, height, width):
    return np.random.default_rng(0).uniform(0, 255, (channels, height, width)).astype(np.float32)


def local(images):
    """Looks two pixels far, with zeros beyond the image, as convolutions do."""
    kernel = torch.linspace(0, 1, 25).view(1, 1, 5, 5)
    return F.conv2d(images.flatten(0, 1)[:, None], kernel, padding=2).view_as(images)


def strided(images):
    """Looks five pixels far and halves its map in between, as mask branches do."""
    kernel = torch.linspace(0, 1, 9).view(1, 1, 3, 3)
    coarse = F.conv2d(images, kernel, stride=2, padding=1)
    return F.conv_transpose2d(coarse, torch.linspace(0, 1, 36).view(1, 1, 6, 6), stride=2, padding=2)


def enlarging(images):
    return F.interpolate(local(images), scale_factor=3, mode="nearest")


def whole(network, image, multiple=1):
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="reflect")
    result = network(torch.from_numpy(padded)[None])[0].numpy()
    scale = result.shape[1] // padded.shape[1]
    return result[:, : scale * height, : scale * width]


sides = st.integers(1, 70)


class TestRunTiled:
    @settings(deadline=None)
    @given(
        height=sides,
        width=sides,
        halo=st.integers(2, 5),
        feather=st.integers(0, 4),
        spare=st.integers(1, 9),
        batch=st.integers(1, 3),
    )
    @example(height=1, width=1, halo=2, feather=0, spare=1, batch=1)
    def test_a_network_that_looks_no_further_than_the_halo_gives_what_it_gives_for_the_whole(
        self, height, width, halo, feather, spare, batch
    ):
        image = draw(2, height, width)
        tiling = Tiling(2 * halo + feather + spare, halo, feather, batch, multiple=1)

        result = run_tiled(local, image, tiling)

        np.testing.assert_allclose(result, whole(local, image), rtol=1e-5)

    @settings(deadline=None)
    @given(height=st.integers(2, 60), width=st.integers(2, 60), feather=st.integers(0, 4), spare=st.integers(1, 5))
    def test_strides_see_the_same_grid_in_every_tile(self, height, width, feather, spare):
        image = draw(1, height, width)
        tiling = Tiling(smallest_tile(6, feather, 2) + 2 * spare, halo=6, feather=feather, multiple=2)

        result = run_tiled(strided, image, tiling)

        np.testing.assert_allclose(result, whole(strided, image, 2), rtol=1e-5)

    @settings(deadline=None)
    @given(height=sides, width=sides, feather=st.integers(0, 3))
    def test_results_may_be_larger(self, height, width, feather):
        image = draw(1, height, width)

        result = run_tiled(enlarging, image, Tiling(12, 2, feather, 2, multiple=1), scale=3)

        np.testing.assert_allclose(result, whole(enlarging, image), rtol=1e-5)

    def test_a_tile_that_covers_the_image_is_the_whole(self):
        image, mean = draw(3, 20, 30), lambda images: images - images.mean(dim=(2, 3), keepdim=True)

        result = run_tiled(mean, image, Tiling(32, 4))

        np.testing.assert_array_equal(result, whole(mean, image))

    def test_windows_are_of_one_size_and_run_in_batches(self):
        shapes = []

        def network(images):
            shapes.append(tuple(images.shape))
            return images

        run_tiled(network, draw(1, 41, 77), Tiling(16, 2, 2, batch=4))

        assert {shape[1:] for shape in shapes} == {(1, 16, 16)}
        assert max(shape[0] for shape in shapes) == 4

    def test_fixed_windows_have_the_full_side_also_of_smaller_images(self):
        shapes = set()

        def network(images):
            shapes.add(tuple(images.shape))
            return local(images)

        image = draw(1, 5, 41)
        result = run_tiled(network, image, Tiling(16, 2, 2, multiple=1, is_fixed=True))

        assert shapes == {(1, 1, 16, 16)}
        there_and_back = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
        np.testing.assert_allclose(result, whole(local, image[:, there_and_back])[:, :5], rtol=1e-5)

    def test_a_feather_softens_what_a_hard_seam_shows(self):
        counter = iter(range(10))
        steps = lambda images: torch.full_like(images, float(next(counter)))  # noqa: E731

        result = run_tiled(steps, draw(1, 8, 24), Tiling(16, 2, 4))

        np.testing.assert_allclose(result[0, 0, 8:16], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])

    def test_whole_numbers_are_rounded_and_clipped(self, tmp_path):
        output = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint8, (1, 9, 11))

        run_tiled(lambda images: images * 300 - 20.4, np.ones((1, 9, 11), np.uint8), Tiling(8, 1, 1), output=output)
        run_tiled(
            lambda images: images - 20.4, np.full((1, 1, 11), 23, np.uint8), Tiling(8, 1, 1), output=output[:, :1]
        )

        assert set(output[0, 1:].ravel()) == {255}
        assert set(output[0, 0]) == {3}

    def test_progress_is_told_after_each_batch(self):
        told = []

        run_tiled(
            lambda images: images, draw(1, 20, 44), Tiling(16, 2, 0, batch=3), progress=lambda *at: told.append(at)
        )

        assert told == [(3, 8), (4, 8), (7, 8), (8, 8)]

    def test_out_of_memory_halves_batch_then_tile_and_says_so(self, caplog):
        def scarce(images):
            if images.numel() > 20 * 20:
                raise torch.OutOfMemoryError
            return images

        image = draw(1, 50, 60)
        with caplog.at_level(logging.WARNING):
            result = run_tiled(scarce, image, Tiling(32, 2, 2, batch=2))

        np.testing.assert_allclose(result, image, rtol=1e-6)
        assert [record.getMessage() for record in caplog.records] == [
            "out of memory with 2 tiles of 32 pixels; starting again with 1 of 32",
            "out of memory with 1 tiles of 32 pixels; starting again with 1 of 16",
        ]

    def test_out_of_memory_with_the_smallest_tile_is_the_callers(self):
        def hungry(images):
            raise torch.OutOfMemoryError

        with pytest.raises(torch.OutOfMemoryError):
            run_tiled(hungry, draw(1, 50, 60), Tiling(8, 2, 2))

    def test_refuses_a_result_of_another_size(self):
        with pytest.raises(ValueError, match=r"made \(1, 1, 8, 8\) of \(1, 1, 8, 8\), where scale 2 says sides of 16"):
            run_tiled(lambda images: images, draw(1, 8, 8), Tiling(8, 1, 1), scale=2)

    def test_refuses_an_output_of_another_shape(self):
        with pytest.raises(ValueError, match=r"result's shape \(1, 8, 9\), got \(1, 9, 8\)"):
            run_tiled(lambda images: images, draw(1, 8, 9), Tiling(8, 1, 1), output=np.empty((1, 9, 8)))

    def test_refuses_an_image_without_pixels(self):
        with pytest.raises(ValueError, match=r"at least one pixel, got \(1, 0, 8\)"):
            run_tiled(lambda images: images, np.empty((1, 0, 8)), Tiling())


class TestTiling:
    def test_refuses_a_tile_of_which_nothing_is_kept(self):
        with pytest.raises(ValueError, match=r"tile must be a multiple of 2 and at least 30, .* got 28"):
            Tiling(28, halo=12, feather=4)

    def test_the_work_factor_counts_what_the_network_sees(self):
        assert Tiling(16, 2, 2).work_factor(16, 26) == 2 * 16 * 16 / (16 * 26)


class TestPlan:
    def test_keeps_the_preferred_tiling_where_it_fits(self):
        assert plan_tiling(4000, 6000, memory_bytes=1e9, bytes_per_pixel=2000) == Tiling()

    @settings(deadline=None)
    @given(st.integers(8, 500), st.integers(8, 8000), st.floats(7e6, 1e9), st.floats(10, 2000))
    def test_what_it_plans_fits(self, height, width, memory, per_pixel):
        tiling = plan_tiling(
            height, width, memory_bytes=memory, bytes_per_pixel=per_pixel, preferred=Tiling(256, batch=64)
        )

        rows, columns = (tiling.windows(side)[0][1] for side in (height, width))
        band = 4 * 3 * rows * max(width, columns)
        assert band + per_pixel * rows * columns * tiling.batch <= memory

    def test_says_what_the_smallest_tile_takes(self):
        with pytest.raises(ValueError, match="1,000 are too few: the smallest tile, 38 pixels, takes 1,900,000"):
            plan_tiling(1000, 1000, memory_bytes=1000, bytes_per_pixel=1_444_000 / 38**2, channels=3)


def run_large(height, width, path):
    image = np.zeros((3, height, width), np.uint8)
    output = np.lib.format.open_memmap(path, "w+", np.uint8, (3, height, width))
    return lambda: run_tiled(lambda images: images, image, Tiling(512), output=output)


def test_memory_does_not_grow_with_the_image(tmp_path):
    megapixels = 40

    peak = peak_memory(run_large, 5000, megapixels * 200, str(tmp_path / "out.npy"))

    pages_of_the_output = 3 * megapixels * 10**6  # mapped; the system may drop them
    band = 4 * 3 * 512 * megapixels * 200
    assert peak < pages_of_the_output + 2 * band + 40 * 2**20
