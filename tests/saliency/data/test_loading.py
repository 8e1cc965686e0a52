import pytest
import torch

from modicum.saliency.data.loading import LoaderOptions, PairDataset, eval_loader, train_loader
from modicum.saliency.data.scenes import ProceduralScenes
from modicum.saliency.data.transforms import PairTransform, Preprocessing

PREPROCESSING = Preprocessing(32)
OPTIONS = LoaderOptions(PREPROCESSING, batch_size=4)


@pytest.fixture(scope="module")
def samples():
    scenes = ProceduralScenes(side=40, sizes=(10, 1, 1))
    return PairDataset(scenes, range(10), PairTransform(PREPROCESSING, is_random=True), seed=5)


def images_of(loader):
    return torch.cat([batch.images for batch in loader])


def test_epoch_is_a_function_of_seed_and_number(samples):
    first = images_of(train_loader(samples, OPTIONS, epoch=2, seed=1))
    torch.rand(17)
    images_of(train_loader(samples, OPTIONS, epoch=0, seed=1))
    again = images_of(train_loader(samples, OPTIONS, epoch=2, seed=1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_epochs_differ(samples):
    first, second = (images_of(train_loader(samples, OPTIONS, epoch=epoch, seed=1)) for epoch in (0, 1))
    assert (first != second).any()


def test_loading_leaves_the_global_generator_alone(samples):
    before = torch.get_rng_state()
    images_of(train_loader(samples, OPTIONS, epoch=0, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_share_an_epoch_out(samples):
    one = LoaderOptions(PREPROCESSING, batch_size=2)
    parts = [images_of(train_loader(samples, one, epoch=0, seed=1, rank=rank, world_size=2)) for rank in (0, 1)]
    whole = images_of(train_loader(samples, OPTIONS, epoch=0, seed=1))
    assert sorted(torch.cat(parts).sum((1, 2, 3)).tolist()) == pytest.approx(sorted(whole.sum((1, 2, 3)).tolist()))


def test_small_set_still_gives_a_batch(samples):
    loader = train_loader(samples, LoaderOptions(PREPROCESSING, batch_size=64), epoch=0, seed=0)
    assert [len(batch.images) for batch in loader] == [10]


def test_evaluation_keeps_all_samples_and_masks_lie_between_0_and_1(samples):
    batches = list(eval_loader(samples, OPTIONS))
    assert [len(batch.masks) for batch in batches] == [4, 4, 2]
    assert min(float(batch.masks.min()) for batch in batches) >= 0
    assert max(float(batch.masks.max()) for batch in batches) == 1
