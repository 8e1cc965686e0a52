import logging

import pytest
import torch
from detector_process import CPU, SCALE, TINY, new_run, small_marks

from modicum.detect.boxes import Detections
from modicum.detect.data.files import AnnotatedFiles
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.pixels import to_image
from modicum.detect.zoom.caching import PART, BothPasses, DetectionStore, detect_reduced, run_both_passes, store_digest
from modicum.detect.zoom.crossfitting import (
    cache_detections,
    crossfit_detections,
    detector_stages,
    make_folds,
)
from modicum.detect.zoom.detector_training import planned_epochs
from modicum.storage.errors import DataError
from modicum.training.fitting import Fitting

COUNT = PART + 3
IDS = [f"picture {number}" for number in range(COUNT)]


def found_in(number, *, features=True):
    generator = torch.Generator().manual_seed(number)
    corners = torch.rand(number % 4, 2, generator=generator) * 100
    boxes = torch.cat((corners, corners + 10), dim=1)
    rows = torch.rand(len(boxes), 5, generator=generator) if features else None
    coarse = Detections(boxes, torch.rand(len(boxes), generator=generator), torch.arange(len(boxes)), rows)
    return BothPasses((100 + number, 80), coarse, coarse.shifted(1, 2))


def same(first, second):
    if first.size != second.size:
        return False
    pairs = [(first.coarse, second.coarse), (first.fine, second.fine)]
    return all(
        (getattr(a, field) is None and getattr(b, field) is None) or torch.equal(getattr(a, field), getattr(b, field))
        for a, b in pairs
        for field in ("boxes", "scores", "labels", "features")
    )


@pytest.fixture
def store(tmp_path):
    return DetectionStore(tmp_path / "detections", "digest")


def read(store, asked=None, **options):
    def compute(place):
        if asked is not None:
            asked.append(place)
        return found_in(place, **options)

    return store.passes(IDS, compute)


@pytest.mark.parametrize("features", [True, False])
def test_what_is_read_again_is_what_was_found(store, features):
    first, asked = read(store, features=features), []
    second = read(store, asked)
    assert asked == []
    assert len(first) == len(second) == COUNT
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert all(same(each, found_in(place, features=features)) for place, each in enumerate(second))


def test_after_an_interruption_only_missing_parts_are_computed(store):
    def stop(place):
        if place == PART + 1:
            raise KeyboardInterrupt
        return found_in(place)

    with pytest.raises(KeyboardInterrupt):
        store.passes(IDS, stop)
    asked = []
    assert len(read(store, asked)) == COUNT
    assert asked == list(range(PART, COUNT))


@pytest.mark.parametrize("keep", [100, 0])
def test_part_that_is_damaged_is_told_and_computed_again(store, caplog, keep):
    first = read(store)
    file = max(store.folder.iterdir(), key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[:keep])
    asked = []
    with caplog.at_level(logging.WARNING):
        second = read(store, asked)
    assert f"{file} is damaged" in caplog.text
    assert asked == list(range(PART))
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def test_detections_of_other_detectors_or_pictures_are_not_taken(store):
    read(store)
    asked = []
    read(DetectionStore(store.folder, "another"), asked)
    DetectionStore(store.folder, "digest").passes(
        [f"other {name}" for name in IDS[:2]], lambda place: asked.append(-1) or found_in(0)
    )
    assert asked == [*range(COUNT), -1, -1]


def test_how_far_it_is_is_told_with_the_time_left(store, caplog):
    with caplog.at_level(logging.INFO):
        read(store)
    assert f"detections in pictures: {COUNT} of {COUNT}  (done)" in caplog.text


def test_digest_changes_with_weights_and_options():
    state = LightFCOS(["car"]).state_dict()
    other = {**state, "fcos.head.classification_head.cls_logits.bias": torch.zeros(1)}
    digests = [store_digest([state], 0.25), store_digest([state], 0.5), store_digest([other], 0.25)]
    assert len(set(digests)) == 3
    assert store_digest([dict(reversed(state.items()))], 0.25) == digests[0]


def whole_image(images):
    """Finds one box that covers each image but for a border of two pixels."""
    return [{"boxes": [[2, 2, i.shape[2] - 2, i.shape[1] - 2]], "scores": [0.5], "labels": [0]} for i in images]


def test_coarse_detections_are_in_pixels_of_the_full_picture_whatever_rounding_did():
    image = torch.zeros(3, 101, 203, dtype=torch.uint8)
    (found,) = detect_reduced(image, CallableDetector(whole_image, ["x"]), 0.25).boxes.tolist()
    assert found == pytest.approx([2 * 203 / 51, 2 * 101 / 25, 203 - 2 * 203 / 51, 101 - 2 * 101 / 25])


def test_both_passes_see_the_picture_at_their_own_scale():
    seen = []

    def look(images):
        seen.extend(tuple(image.shape) for image in images)
        return whole_image(images)

    detector = CallableDetector(look, ["x"])
    both = run_both_passes(torch.zeros(3, 100, 200, dtype=torch.uint8), detector, detector, scale=0.25)
    assert seen == [(3, 25, 50), (3, 100, 200)]
    assert both.size == (200, 100)
    seen.clear()
    run_both_passes(torch.zeros(3, 100, 200, dtype=torch.uint8), detector, detector, scale=0.5, tile=(64, 128))
    assert seen[0] == (3, 50, 100)
    assert set(seen[1:]) == {(3, 64, 128)}


def test_folds_keep_sequences_together_and_are_of_nearly_equal_size(write_coco, tmp_path):
    names = [
        f"{flight}-{number}.png"
        for flight, count in zip("abcdef", (5, 4, 3, 3, 3, 2), strict=True)
        for number in range(count)
    ]
    write_coco("annotations.json", {name: [] for name in names})
    source = AnnotatedFiles(tmp_path)
    folds = make_folds(source, range(len(names)), 3, seed=0)
    assert sorted(index for fold in folds for index in fold) == list(range(20))
    assert sorted(map(len, folds)) == [6, 7, 7]
    groups = [{source.records[index].group for index in fold} for fold in folds]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 6
    assert [len(fold) for fold in make_folds(source, range(20), 10, seed=0)] == [2] * 10  # more folds than sequences
    with pytest.raises(DataError, match=r"3 picture\(s\) cannot be divided into 5 folds"):
        make_folds(source, [0, 1, 2], 5, seed=0)


def test_each_picture_is_seen_by_detectors_that_were_trained_without_it(tmp_path, monkeypatch):
    from modicum.detect.zoom import crossfitting

    trained = {}
    original = crossfitting.train_detector

    def watch(fitting, name, data, options, **more):
        trained[name] = (tuple(data.train), tuple(data.watch))
        return original(fitting, name, data, options, **more)

    monkeypatch.setattr(crossfitting, "train_detector", watch)
    source, run = small_marks(), new_run(tmp_path / "run")
    folds = make_folds(source, range(6), 2, seed=0)
    fitting = Fitting(run, CPU, 0, planned_epochs(detector_stages(TINY, 2), TINY))
    limits = DetectionLimits(0.0, 12)
    found = crossfit_detections(
        fitting, source, folds, TINY, scale=SCALE, folder=run.path / "detections", limits=limits
    )
    assert list(trained) == ["coarse-fold-1", "fine-fold-1", "coarse-fold-2", "fine-fold-2"]
    for number, fold in enumerate(folds, start=1):
        assert set(trained[f"fine-fold-{number}"][0]) == set(range(6)) - set(fold)
    assert sorted(found) == list(range(6))
    assert all(len(both.coarse) == len(both.fine) == 12 for both in found.values())
    assert all(both.coarse.features.shape == (12, 64) for both in found.values())


def test_cached_detections_are_those_of_the_detectors(tmp_path):
    torch.manual_seed(0)
    source, networks = small_marks(), (LightFCOS(["ring", "cross"]).eval(), LightFCOS(["ring", "cross"]).eval())
    limits = DetectionLimits(0.0, 9)
    options = {"scale": 0.25, "folder": tmp_path / "d", "limits": limits}
    found = cache_detections(source, [3, 1], networks, **options)
    fine = TorchvisionDetector(networks[1].fcos, networks[1].classes, limits=limits)
    expected = fine.detect([to_image(source.pixels(1))])[0]
    assert torch.equal(found[1].fine.boxes, expected.boxes)
    again = cache_detections(source, [3, 1], networks, **options)
    assert all(same(found[index], again[index]) for index in (3, 1))
    assert len(list((tmp_path / "d").iterdir())) == 1
    cache_detections(source, [3, 1], networks[::-1], **options)
    assert len(list((tmp_path / "d").iterdir())) == 2
