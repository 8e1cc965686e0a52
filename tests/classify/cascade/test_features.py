import logging

import pytest
import torch
from classify_cascade import build
from torch.testing import assert_close

from modicum.classify.cascade.features import PART, FeatureStore

COUNT = PART + 3
IDS = [f"image {number}" for number in range(COUNT)]


@pytest.fixture
def pictures():
    return torch.randn(COUNT, 3, 48, 48, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features", build().trunk, (32, 48), "digest", flip=True)


def read(store, pictures, asked=None):
    def images(places):
        if asked is not None:
            asked.append(len(places))
        yield pictures[places.start : places.stop]

    return store.features(IDS, images)


def test_features_are_those_of_the_trunk_at_each_size_and_view(store, pictures):
    found = read(store, pictures)
    with torch.inference_mode():
        assert_close(found[48][:4, 0], store.trunk(pictures[:4], 0, 2)[1], atol=1e-5, rtol=1e-4)
        assert_close(found[48][:4, 1], store.trunk(pictures[:4].flip(-1), 0, 2)[1], atol=1e-5, rtol=1e-4)
    assert found[32].shape == found[48].shape == (COUNT, 2, sum(build().widths))


def test_after_an_interruption_only_what_is_missing_is_computed_and_all_is_the_same(store, pictures):
    first = read(store, pictures)
    sorted(store.folder.iterdir(), key=lambda file: file.stat().st_size)[0].unlink()  # the part of three
    asked = []
    second = read(store, pictures, asked)
    assert asked == [3]
    assert all(torch.equal(first[size], second[size]) for size in (32, 48))


def test_part_that_is_damaged_is_told_and_computed_again(store, pictures, caplog):
    first = read(store, pictures)
    file = sorted(store.folder.iterdir())[0]
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        second = read(store, pictures)
    assert f"{file} is damaged" in caplog.text
    assert torch.equal(first[48], second[48])


def test_features_of_another_trunk_are_not_taken(store, pictures, tmp_path):
    read(store, pictures)
    asked = []
    read(FeatureStore(store.folder, store.trunk, (32, 48), "another", flip=True), pictures, asked)
    assert asked == [PART, 3]


def test_how_far_it_is_is_told_with_the_time_left(store, pictures, caplog):
    with caplog.at_level(logging.INFO):
        read(store, pictures)
    assert f"features of images: {COUNT} of {COUNT}  (done)" in caplog.text
