import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.classify.data.folders import ImageFolder
from modicum.classify.data.loading import Collate, image_samples
from modicum.classify.data.scenes import DigitScenes
from modicum.datasets.loaders import epoch_loader, ordered_loader
from modicum.datasets.preprocessing import Preprocessing
from modicum.storage.errors import DataError

AUGMENTED = Preprocessing(24, 28, crop="random_resized")


@pytest.fixture(scope="module")
def scenes():
    return DigitScenes(side=32, sizes=(60, 20, 20))


@pytest.fixture(scope="module")
def dataset(scenes):
    return image_samples(scenes, range(60), AUGMENTED.train_transform(), seed=5)


def epoch_of(dataset, **options):
    defaults = {"batch_size": 8, "epoch": 0, "seed": 0, "rank": 0, "world_size": 1, "num_workers": 0}
    return list(epoch_loader(dataset, Collate(AUGMENTED), **(defaults | options)))


def images_by_position(batches):
    return {int(p): image for batch in batches for p, image in zip(batch.positions, batch.images, strict=True)}


def test_sample_is_bytes_label_and_position(scenes):
    dataset = image_samples(scenes, [70, 3], Preprocessing(32, 36).eval_transform())
    image, label, position = dataset[1]
    assert (image.shape, image.dtype) == ((3, 32, 32), torch.uint8)
    assert (label, position, len(dataset)) == (scenes.records[3].label, 1, 2)


def test_batch_is_normalised_and_typed(scenes):
    plain = Preprocessing(32, 36)
    dataset = image_samples(scenes, range(10), plain.eval_transform())
    batch = next(iter(ordered_loader(dataset, Collate(plain), batch_size=4)))
    torch.testing.assert_close(batch.images, plain.normalise(torch.stack([dataset[i][0] for i in range(4)])))
    assert (batch.images.dtype, batch.labels.dtype, batch.positions.dtype) == (torch.float32, torch.int64, torch.int64)


def test_evaluation_is_in_order_and_complete(scenes):
    dataset = image_samples(scenes, range(10), Preprocessing(32, 36).eval_transform())
    batches = list(ordered_loader(dataset, Collate(Preprocessing(32, 36)), batch_size=4))
    assert [batch.positions.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_augmentation_is_the_same_with_and_without_workers(dataset):
    alone, helped = epoch_of(dataset), epoch_of(dataset, num_workers=2)
    torch.testing.assert_close(helped, alone, rtol=0, atol=0)


def test_augmentation_depends_on_the_record_not_on_its_position(scenes):
    transform = AUGMENTED.train_transform()
    forward = image_samples(scenes, [4, 9], transform, seed=1)
    backward = image_samples(scenes, [9, 4], transform, seed=1)
    assert torch.equal(forward[0][0], backward[1][0])


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 6}])
def test_augmentation_changes_with_epoch_and_seed(scenes, dataset, other):
    changed = image_samples(scenes, range(60), AUGMENTED.train_transform(), seed=other.get("seed", 5))
    assert not torch.equal(changed.of_epoch(other.get("epoch", 0))[0][0], dataset[0][0])


def test_resumed_epoch_equals_the_uninterrupted_one(scenes, dataset):
    epoch_of(dataset, epoch=0)
    third = epoch_of(dataset, epoch=2)
    fresh = image_samples(scenes, range(60), AUGMENTED.train_transform(), seed=5)
    again = epoch_of(fresh, epoch=2)
    assert all(torch.equal(a.images, b.images) for a, b in zip(third, again, strict=True))


def test_loading_leaves_the_global_generator_alone(dataset):
    torch.default_generator.manual_seed(1)
    before = torch.get_rng_state()
    epoch_of(dataset)
    assert torch.equal(torch.get_rng_state(), before)


def test_loader_does_not_change_the_dataset(dataset):
    before = dataset[0][0]
    epoch_of(dataset, epoch=9)
    assert torch.equal(dataset[0][0], before)


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 9), world_size=st.integers(2, 3), epoch=st.integers(0, 5))
def test_batches_of_all_ranks_together_are_those_of_one(scenes, count, batch_size, world_size, epoch):
    transform = Preprocessing(32, 36).eval_transform()
    dataset = image_samples(scenes, range(count), transform)
    one = epoch_of(dataset, batch_size=batch_size * world_size, epoch=epoch)
    ranks = [
        epoch_of(dataset, batch_size=batch_size, epoch=epoch, rank=r, world_size=world_size) for r in range(world_size)
    ]
    assert {len(rank) for rank in ranks} == {len(one)}
    for whole, *parts in zip(one, *ranks, strict=True):
        assert {int(p) for part in parts for p in part.positions} == set(whole.positions.tolist())


def test_ranks_draw_the_same_augmentation(dataset):
    one = images_by_position(epoch_of(dataset, batch_size=10))
    two = images_by_position(epoch_of(dataset, batch_size=5, world_size=2, rank=1))
    assert all(torch.equal(image, one[position]) for position, image in two.items())


def test_order_changes_with_the_epoch(dataset):
    first, second = (torch.cat([b.positions for b in epoch_of(dataset, epoch=e)]) for e in (0, 1))
    assert not torch.equal(first, second)


def test_partial_batch_is_dropped_when_there_is_a_full_one(dataset):
    assert [len(batch.labels) for batch in epoch_of(dataset, batch_size=25)] == [25, 25]


def test_set_smaller_than_a_batch_still_trains(dataset):
    assert [len(batch.labels) for batch in epoch_of(dataset, batch_size=100)] == [60]


def test_empty_training_part_is_refused(scenes):
    with pytest.raises(ValueError, match="training part is empty"):
        epoch_of(image_samples(scenes, [], AUGMENTED.train_transform()))


def test_dataset_and_collate_survive_pickling(dataset):
    again, collate = pickle.loads(pickle.dumps((dataset, Collate(AUGMENTED))))
    assert torch.equal(collate([again[2]]).images, Collate(AUGMENTED)([dataset[2]]).images)


def test_image_that_went_bad_is_named(write_tree):
    root = write_tree("cat/1.png", "dog/2.png")
    dataset = image_samples(ImageFolder(root), [0, 1], Preprocessing(8, 8).eval_transform())
    (root / "dog" / "2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"dog/2\.png in .*: the file is empty; scan the images again"):
        list(ordered_loader(dataset, Collate(Preprocessing(8, 8)), batch_size=2))


def test_each_turn_of_an_epoch_shows_every_image_with_an_augmentation_of_its_own(scenes):
    dataset = image_samples(scenes, [3, 5], AUGMENTED.train_transform(), seed=1, turns=3)
    shown = list(dataset)
    assert [position for _, _, position in shown] == [0, 1] * 3
    assert len({image.numpy().tobytes() for image, _, _ in shown}) == 6


def test_one_turn_shows_what_it_always_did(scenes):
    plain, turned = (image_samples(scenes, [3, 5], AUGMENTED.train_transform(), seed=1, turns=n) for n in (1, 2))
    # Turn 0 of epoch 2 is the fifth that an image is shown.
    assert torch.equal(plain.of_epoch(4)[1][0], turned.of_epoch(2)[1][0])


def test_kept_picture_is_decoded_once_and_holds_the_detail_of_a_crop(scenes):
    calls = []

    class Counted:
        records, origin = scenes.records, scenes.origin

        def pixels(self, index):
            calls.append(index)
            return scenes.pixels(index)

    dataset = image_samples(Counted(), [3], Preprocessing(16, 18).eval_transform(), turns=4, keep_px=24)
    assert len(list(dataset)) == 4
    assert calls == [3]
    assert min(dataset._make._kept[3].shape[1:]) == 24
