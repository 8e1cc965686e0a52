import pytest
import torch

from modicum.datasets.loaders import EpochSamples, epoch_loader, ordered_loader, sample_seed, seeded


def numbers(count):
    """Samples that say their place, and one number that is drawn for them in this epoch."""
    return EpochSamples(range(count), make)


def make(index, position):
    return position, float(torch.rand(()))


def draw(count, **options):
    return list(epoch_loader(numbers(count), list, batch_size=3, **options))


def test_epoch_is_a_function_of_seed_and_number():
    assert draw(10, epoch=4, seed=1) == draw(10, epoch=4, seed=1)
    assert draw(10, epoch=4, seed=1) != draw(10, epoch=5, seed=1)
    assert draw(10, epoch=4, seed=1) != draw(10, epoch=4, seed=2)


def test_samples_know_their_epoch_and_the_given_ones_do_not_change():
    given = numbers(6)
    before = list(given)
    (first, *_) = epoch_loader(given, list, batch_size=3, epoch=7, seed=0)
    assert set(first) <= set(given.of_epoch(7))
    assert list(given) == before != list(given.of_epoch(7))


def test_batches_of_all_ranks_together_are_those_of_one():
    ranks = [draw(12, epoch=0, seed=3, rank=rank, world_size=2) for rank in range(2)]
    whole = list(epoch_loader(numbers(12), list, batch_size=6, epoch=0, seed=3))
    for first, second, both in zip(*ranks, whole, strict=True):
        assert sorted([*first, *second]) == sorted(both)


def test_fewer_samples_than_a_batch_still_make_one():
    assert [len(batch) for batch in draw(2, epoch=0, seed=0)] == [2]


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="the training part is empty"):
        draw(0, epoch=0, seed=0)


def test_ordered_loader_gives_all_in_their_order():
    batches = list(ordered_loader(numbers(5), list, batch_size=2))
    assert [[place for place, _ in batch] for batch in batches] == [[0, 1], [2, 3], [4]]


def test_seeds_of_neighbours_differ():
    seeds = {sample_seed(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)}
    assert len(seeds) == 27
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeded_draws_are_equal_and_disturb_no_others():
    state = torch.default_generator.get_state()
    drawn = []
    for _ in range(2):
        with seeded(5):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(state, torch.default_generator.get_state())
