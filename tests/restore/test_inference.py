import numpy as np
import pytest
import torch
from torch import nn
from training_process import start_forked

from modicum.measuring import memory
from modicum.measuring.memory import peak_memory
from modicum.restore.inference import count_parameters, make_inference
from modicum.restore.rnan.network import RNAN
from modicum.storage.errors import RecipeError

MIB = 2**20


def network(channels=1, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RNAN(channels, features=4, local_groups=0, **options).eval()


@pytest.mark.parametrize("memory_gib", [float("nan"), float("inf"), 0.0, -1.0])
def test_memory_that_is_no_positive_number_is_refused(memory_gib):
    with pytest.raises(RecipeError, match="memory_gib must be a positive number of GiB, got"):
        make_inference(network(1), tile=24, halo=4, memory_gib=memory_gib)


def test_images_keep_their_form(picture):
    assert make_inference(network(1), tile=24, halo=4).restore(picture(0, (21, 30))).shape == (21, 30)
    assert make_inference(network(3), tile=24, halo=4).restore(picture(0, (21, 30, 3))).shape == (21, 30, 3)
    assert make_inference(network(3, scale=2), tile=24, halo=4).restore(picture(0, (9, 8, 3))).shape == (18, 16, 3)


def test_tile_that_covers_the_image_gives_what_the_network_gives(picture):
    plain, image = network(1), picture(0, (20, 24))
    with torch.inference_mode():
        expected = plain(torch.from_numpy(image).float()[None, None])[0, 0].numpy()
    np.testing.assert_array_equal(make_inference(plain, tile=32, halo=4).restore(image), expected)


def test_ensemble_turns_with_the_image(picture):
    ensemble = make_inference(network(1), tile=32, halo=4, is_ensemble=True)
    image = picture(0, (20, 24))
    restored = ensemble.restore(image)
    for turn in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_allclose(ensemble.restore(turn(image)), turn(restored), atol=1e-3)


def test_plain_network_does_not_turn_with_the_image(picture):
    plain, image = make_inference(network(1), tile=32, halo=4), picture(0, (20, 24))
    assert np.abs(plain.restore(np.flipud(image)) - np.flipud(plain.restore(image))).max() > 0.1


def test_tiles_become_smaller_where_memory_is_scarce(picture):
    shapes = []

    class Watched(nn.Module):
        features, scale, size_multiple = 256, 1, 2

        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(1, 256, 1)

        def forward(self, images):
            shapes.append(tuple(images.shape[2:]))
            return images

    make_inference(Watched(), tile=96, halo=4, memory_gib=45 * MIB / 2**30).restore(picture(0, (100, 120)))

    (side,) = {shape[0] for shape in shapes}
    assert side < 96


def test_too_little_memory_is_refused_with_what_the_smallest_tile_takes(picture):
    inference = make_inference(network(1), tile=32, halo=4, memory_gib=0.01)
    with pytest.raises(RecipeError, match=r"memory_gib of 0\.01 is too little.*the smallest tile, 14 pixels, takes"):
        inference.restore(picture(0, (100, 120)))


def test_tile_too_small_for_its_halo_is_refused():
    with pytest.raises(ValueError, match="tile must be a multiple of 2 and at least 30"):
        make_inference(network(1), tile=24, halo=12)


def test_parameters_are_counted():
    assert count_parameters(nn.Linear(3, 2)) == 8


def prepare_run(features, tile, memory_gib, is_run):
    torch.set_num_threads(1)
    plain = RNAN(1, features=features, local_groups=1).eval()
    inference = make_inference(plain, tile=tile, halo=8, memory_gib=memory_gib)
    image = np.zeros((192, 192), np.uint8)
    return (lambda: inference.restore(image)) if is_run else (lambda: None)


def test_memory_stays_within_the_bound(monkeypatch):
    monkeypatch.setattr(memory, "start_worker", start_forked)  # has imported torch already
    bound = 80 * MIB

    peak, idle = (peak_memory(prepare_run, 32, 192, bound / 2**30, is_run) for is_run in (True, False))

    assert 30 * MIB < peak - idle < bound  # tiles of 192 would take 100 MiB
