"""Average precision as a worth: against COCO's figures, and of sets drawn again."""

import numpy as np
import pytest
import torch
from drawn_sets import as_boxes, draw_images
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.worth import bootstrap_interval
from modicum.detect.average_precision import judge_precision
from modicum.detect.boxes import Detections, Objects
from modicum.detect.metrics import coco_figures

CAR = torch.zeros(1, dtype=torch.int64)
BOX = as_boxes([[0, 0, 50, 50]])
SEEN = torch.zeros(1, dtype=torch.bool)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_it_is_that_of_coco(seed):
    found, objects = draw_images(seed, 8)
    figures = coco_figures(found, objects)

    assert judge_precision(found, objects).total() == pytest.approx(figures.ap, abs=1e-6)
    assert judge_precision(found, objects, [0.5]).total() == pytest.approx(figures.ap50, abs=1e-6)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_set_drawn_again_is_worth_what_its_images_are_one_after_another(seed):
    worth = judge_precision(*draw_images(seed, 6))
    generator, again = np.random.default_rng(seed), np.random.default_rng(seed)

    drawn = worth.resample(5, generator)

    rows = [torch.from_numpy(again.integers(6, size=6)) for _ in range(5)]
    np.testing.assert_allclose(drawn, [worth.take(each).total() for each in rows], atol=1e-12)


def test_parts_join_to_the_worth_of_all():
    found, objects = draw_images(3, 7)
    first, second = judge_precision(found[:3], objects[:3]), judge_precision(found[3:], objects[3:])

    joined = first.join([second])

    assert (len(joined), joined.total()) == (7, judge_precision(found, objects).total())
    assert joined.take(torch.arange(3)).total() == first.total()


def test_each_image_is_measured_by_itself():
    found, objects = draw_images(4, 5)
    worth = judge_precision(found, objects)

    alone = [judge_precision([own], [wanted]).total() for own, wanted in zip(found, objects, strict=True)]
    assert worth.each().tolist() == alone


def test_a_set_without_objects_is_worth_less_the_surer_it_claims_one():
    claims = [Detections(BOX, torch.tensor([score]), CAR) for score in (0.3, 0.8)]
    nothing = [Objects.empty()] * 2

    assert judge_precision([Detections.empty()] * 2, nothing).total() == 1
    assert judge_precision(claims, nothing).total() == pytest.approx(0.2)
    assert judge_precision(claims, nothing).each().tolist() == pytest.approx([0.7, 0.2])


def test_detections_in_a_crowd_are_no_claims():
    crowd = Objects(BOX, CAR, ~SEEN)

    assert judge_precision([Detections(BOX, torch.tensor([0.9]), CAR)], [crowd]).total() == 1


def test_a_crowd_absorbs_any_number_of_detections():
    objects = Objects(as_boxes([[0, 0, 50, 50], [100, 0, 400, 300]]), CAR.expand(2), torch.tensor([False, True]))
    inside = as_boxes([[0, 0, 50, 50], [110, 10, 150, 60], [200, 10, 250, 60]])
    found = Detections(inside, torch.tensor([0.5, 0.9, 0.8]), CAR.expand(3))

    assert judge_precision([found], [objects]).total() == pytest.approx(1)


def test_no_images_are_worth_nan():
    assert np.isnan(judge_precision([], []).total())


def test_interval_holds_the_worth():
    worth = judge_precision(*draw_images(5, 30), [0.5])
    low, high = bootstrap_interval(worth)

    assert low < worth.total() < high
    assert high - low < 0.5
