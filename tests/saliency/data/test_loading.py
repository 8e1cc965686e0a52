import pytest
import torch

from modicum.datasets.loaders import EpochSamples, epoch_loader, ordered_loader
from modicum.saliency.data.loading import Collate, PairMaker
from modicum.saliency.data.scenes import ProceduralScenes
from modicum.saliency.data.transforms import PairTransform, Preprocessing

PREPROCESSING = Preprocessing(32)
COLLATE = Collate(PREPROCESSING)


@pytest.fixture(scope="module")
def samples():
    scenes = ProceduralScenes(side=40, sizes=(10, 1, 1))
    return EpochSamples(range(10), PairMaker(scenes, PairTransform(PREPROCESSING, is_random=True)), seed=5)


def images_of(loader):
    return torch.cat([batch.images for batch in loader])


def test_epoch_is_a_function_of_seed_and_number(samples):
    first = images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=2, seed=1))
    torch.rand(17)
    images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=0, seed=1))
    again = images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=2, seed=1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_epochs_differ(samples):
    first, second = (images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=epoch, seed=1)) for epoch in (0, 1))
    assert (first != second).any()


def test_loading_leaves_the_global_generator_alone(samples):
    before = torch.get_rng_state()
    images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=0, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_share_an_epoch_out(samples):
    parts = [
        images_of(epoch_loader(samples, COLLATE, batch_size=2, epoch=0, seed=1, rank=rank, world_size=2))
        for rank in (0, 1)
    ]
    whole = images_of(epoch_loader(samples, COLLATE, batch_size=4, epoch=0, seed=1))
    assert sorted(torch.cat(parts).sum((1, 2, 3)).tolist()) == pytest.approx(sorted(whole.sum((1, 2, 3)).tolist()))


def test_small_set_still_gives_a_batch(samples):
    loader = epoch_loader(samples, COLLATE, batch_size=64, epoch=0, seed=0)
    assert [len(batch.images) for batch in loader] == [10]


def test_evaluation_keeps_all_samples_and_masks_lie_between_0_and_1(samples):
    batches = list(ordered_loader(samples, COLLATE, batch_size=4))
    assert [len(batch.masks) for batch in batches] == [4, 4, 2]
    assert min(float(batch.masks.min()) for batch in batches) >= 0
    assert max(float(batch.masks.max()) for batch in batches) == 1
