import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from square_detector import HEIGHT, WIDTH, Recorder, draw
from torch.testing import assert_close

from modicum.adaptive.knobs import BudgetError
from modicum.detect.boxes import Detections
from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.overlaps import pairwise_iou
from modicum.detect.zoom.inference import MeasuredTime, ZoomDetector, ZoomPlan
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.merging import merge
from modicum.detect.zoom.planners import DensityPlanner, SlidingWindows, SpacedWindows, ValuePlanner
from modicum.detect.zoom.planning import TimeModel
from modicum.detect.zoom.qnet import ConvQnet, FcQnet, ResidualQnet, values_of
from modicum.detect.zoom.rnet import DenseRNet, RNet
from modicum.detect.zoom.score_map import ScoreMap
from modicum.detect.zoom.timing import measure_time

EVERYTHING = ZoomLimit(price=0.0)
HALF_THE_PIXELS = ZoomLimit(max_pixels=0.5)


@pytest.fixture
def recorders():
    return Recorder(), Recorder()


@pytest.fixture
def zoom(recorders):
    coarse, fine = (CallableDetector(each, ["square"]) for each in recorders)
    return ZoomDetector(coarse, fine)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    light = LightFCOS(["car", "bus"]).eval()
    torch.nn.init.normal_(light.fcos.head.classification_head.cls_logits.weight, std=0.5)
    return light


def fcos(network, **options):
    limits = DetectionLimits(min_score=0.05, max_detections=60, **options)
    return TorchvisionDetector(network.fcos, network.classes, limits=limits)


def noise(height, width):
    generator = torch.Generator().manual_seed(height * width)
    small = torch.randint(0, 256, (1, 3, height // 8, width // 8), generator=generator).float()
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")[0].to(torch.uint8)


def test_fine_detector_gets_the_pixels_of_the_windows_and_no_others(zoom, recorders):
    (answer,) = zoom.detect([draw()], HALF_THE_PIXELS)
    coarse, fine = recorders
    assert coarse.shapes == [(1, 3, HEIGHT // 4, WIDTH // 4)]
    sides = answer.windows[:, 2:] - answer.windows[:, :2]
    assert sum(count * height * width for count, _, height, width in fine.shapes) == np.prod(sides, axis=1).sum()
    assert answer.pixels == HEIGHT * WIDTH / 16 + np.prod(sides, axis=1).sum()
    assert 0 < answer.share <= 0.5


def test_crops_are_true_pixels_of_their_images():
    seen = []

    def keep(images):
        seen.extend(images)
        return [{"boxes": [], "scores": [], "labels": []} for _ in images]

    zoom = ZoomDetector(CallableDetector(Recorder(), ["square"]), CallableDetector(keep, ["square"]))
    images = [noise(HEIGHT, WIDTH), noise(HEIGHT, WIDTH).flip(2)]
    looks = zoom.look(images)
    windows = np.array([[32.0, 64, 192, 192]])
    zoom.read(images, looks, [ZoomPlan(windows), ZoomPlan(windows)])
    for crop, image in zip(seen, images, strict=True):
        assert_close(crop, image[:, 64:192, 32:192])


def test_crops_of_several_images_share_a_batch(zoom, recorders):
    answers = zoom.detect([draw(), draw([(300, 200)]), draw([(10, 10)])], ZoomLimit(max_windows=1))
    assert [len(answer.windows) for answer in answers] == [1, 1, 1]
    assert [shape[0] for shape in recorders[1].shapes] == [3]


def test_answer_is_the_merging_of_both_passes(zoom):
    image = draw()
    (look,) = zoom.look([image])
    (plan,) = zoom.plan([look], HALF_THE_PIXELS)
    (answer,) = zoom.read([image], [look], [plan])
    parts = []
    for left, top, right, bottom in plan.windows.astype(int):
        (found,) = zoom.fine.detect([image[:, top:bottom, left:right]])
        parts.append(found.shifted(left, top).arrays())
    expected = merge(look.coarse.arrays(), plan.windows, parts, WIDTH, HEIGHT)
    assert_close(answer.found.boxes, torch.from_numpy(expected.boxes).float())
    assert_close(answer.found.scores, torch.from_numpy(expected.scores))


def test_zoomed_squares_are_found_as_the_fine_detector_finds_them(zoom):
    (answer,) = zoom.detect([draw()], HALF_THE_PIXELS)
    (fine,) = zoom.fine.detect([draw()])
    assert pairwise_iou(fine.arrays().boxes, answer.found.arrays().boxes).max(1).min() == 1
    assert answer.found.scores.min() > 0.9


def test_reading_the_whole_image_is_the_fine_detector_alone(zoom):
    (answer,) = zoom.detect([draw()], EVERYTHING)
    (fine,) = zoom.fine.detect([draw()])
    assert answer.windows.tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert_close(answer.found.boxes, fine.best_first().boxes)
    assert answer.pixels == WIDTH * HEIGHT * 17 / 16


def test_image_without_promise_never_wakes_the_fine_detector(zoom, recorders):
    (answer,) = zoom.detect([draw([])], HALF_THE_PIXELS)
    assert not recorders[1].shapes
    assert len(answer.windows) == len(answer.found) == 0
    assert answer.share == 1 / 16


def test_no_images_give_no_answers(zoom):
    assert zoom.detect([], HALF_THE_PIXELS) == []


@pytest.mark.parametrize(
    ("limit", "holds"),
    [
        (ZoomLimit(max_pixels=0.2), lambda answer: answer.share <= 0.2),
        (ZoomLimit(max_pixels=100_000), lambda answer: answer.pixels <= 100_000),
        (ZoomLimit(max_windows=2), lambda answer: len(answer.windows) == 2),
        (ZoomLimit(max_ms=50), lambda answer: 0 < answer.pixels - WIDTH * HEIGHT / 16 <= 30_000),
    ],
)
def test_limits_are_kept(zoom, limit, holds):
    timed = replace(zoom, time=MeasuredTime(TimeModel(20, 1e-3, 0), WIDTH * HEIGHT))
    (answer,) = timed.detect([draw()], limit)
    assert holds(answer)


def test_pixels_fall_as_the_price_rises(zoom):
    shares = [zoom.detect([draw()], ZoomLimit(price=price))[0].share for price in (0, 1, 5, 20, 100, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1 > shares[1] > shares[-1] == 1 / 16


def test_limit_of_time_without_a_measurement_says_so(zoom):
    with pytest.raises(BudgetError, match="measure it first"):
        zoom.detect([draw()], ZoomLimit(max_ms=100))


def test_time_is_measured_on_the_detectors_themselves(zoom):
    measured = measure_time(zoom, draw(), repeats=1)
    assert measured.model.fixed > 0
    assert measured.model.per_pixel + measured.model.per_window > 0
    assert measured.of(WIDTH * 2, HEIGHT).fixed == pytest.approx(2 * measured.model.fixed)


def test_images_smaller_than_a_window_are_read_whole_or_not_at_all(zoom):
    small = draw([(3, 3)], (24, 20))
    (answer,) = zoom.detect([small], EVERYTHING)
    assert answer.windows.tolist() == [[0, 0, 24, 20]]
    (answer,) = zoom.detect([small], HALF_THE_PIXELS)
    assert not len(answer.windows)


def test_scores_of_both_passes_are_calibrated(zoom):
    halved = ScoreMap(np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    calibrated = replace(zoom, coarse_scores=halved, fine_scores=halved)
    for limit in (ZoomLimit(max_windows=0), EVERYTHING):
        (plain,), (mapped,) = zoom.detect([draw()], limit), calibrated.detect([draw()], limit)
        assert_close(mapped.found.scores, plain.found.scores / 2)


def test_objects_of_the_last_frame_are_looked_for_again(zoom):
    last = Detections(torch.tensor([[300.0, 200, 312, 212]]), torch.tensor([0.9]), torch.tensor([0]))
    empty = draw([])
    (answer,) = zoom.detect([empty], ZoomLimit(price=1.0), [last])
    assert len(answer.windows) == 1
    left, top, right, bottom = answer.windows[0]
    assert max(left - 300, top - 200, 312 - right, 212 - bottom) <= -8  # with a margin
    assert answer.gain == pytest.approx(0.9)


def test_batched_and_single_answers_are_equal_with_mixed_sizes(network):
    zoom = ZoomDetector(fcos(network), fcos(network, features=False), gains=trained_like_rnet())
    images = [noise(320, 480), noise(192, 256), noise(320, 480).flip(1), noise(200, 300)]
    together = zoom.detect(images, HALF_THE_PIXELS)
    for image, answer in zip(images, together, strict=True):
        (alone,) = zoom.detect([image], HALF_THE_PIXELS)
        assert len(answer.windows)
        np.testing.assert_array_equal(answer.windows, alone.windows)
        assert_close(answer.found.boxes, alone.found.boxes, atol=1e-2, rtol=1e-4)
        assert_close(answer.found.scores, alone.found.scores, atol=1e-4, rtol=1e-4)


def test_threads_share_a_detector(network):
    zoom = ZoomDetector(fcos(network), fcos(network, features=False))
    images = [noise(160, 256), noise(256, 160), noise(160, 256).flip(1)]
    expected = [zoom.detect([image], HALF_THE_PIXELS)[0] for image in images]
    fresh = ZoomDetector(fcos(network), fcos(network, features=False))
    answers = {}

    def run(place):
        answers[place] = [fresh.detect([images[place]], HALF_THE_PIXELS)[0] for _ in range(2)]

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, alone in enumerate(expected):
        for answer in answers[place]:
            assert_close(answer.found.boxes, alone.found.boxes, atol=1e-2, rtol=1e-4)
            np.testing.assert_array_equal(answer.windows, alone.windows)


def test_backbone_gets_reduced_images_and_windows_as_they_are(network):
    seen = []
    handle = network.fcos.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    zoom = ZoomDetector(fcos(network), fcos(network, features=False))
    (answer,) = zoom.detect([noise(480, 640)], HALF_THE_PIXELS)
    handle.remove()
    assert tuple(seen[0]) == (1, 3, 128, 160)  # 120 rows padded to a multiple of 16
    read = sum(shape[0] * shape[2] * shape[3] for shape in seen[1:])
    assert read == answer.pixels - 120 * 160  # windows are multiples of 32: nothing is padded or enlarged


def test_dense_rnet_sees_features_of_the_coarse_pass(network):
    rnet = DenseRNet(64).eval()
    torch.nn.init.constant_(rnet.draw.bias, 1.0)
    zoom = ZoomDetector(fcos(network), fcos(network, features=False), gains=rnet)
    (look,) = zoom.look([noise(480, 640)])
    assert look.gains.cells.shape == (48, 64)
    assert look.gains.total() == pytest.approx(2 / 200 * 30 * 40, rel=0.02)  # 15 x 20 cells of stride 8, doubled
    assert len(zoom.detect([noise(480, 640)], ZoomLimit(max_pixels=0.4))[0].windows)


@pytest.mark.parametrize(
    ("qnet", "layout"), [(ResidualQnet(ConvQnet(2)), SlidingWindows()), (FcQnet(), SpacedWindows())]
)
def test_qnet_plans_windows(zoom, qnet, layout):
    planner = ValuePlanner(partial(values_of, qnet.eval()), layout)
    (answer,) = replace(zoom, planner=planner).detect([draw()], HALF_THE_PIXELS)
    assert answer.share <= 0.5
    if isinstance(qnet, ResidualQnet):
        assert answer.found.scores.max() > 0.9


def test_greedy_planner_without_the_whole_image_reads_windows_alone(zoom):
    windows_only = replace(zoom, planner=DensityPlanner(with_whole=False))
    (answer,) = windows_only.detect([draw()], EVERYTHING)
    assert len(answer.windows) > 0
    assert answer.windows.tolist() != [[0, 0, WIDTH, HEIGHT]]


def test_large_images_are_read_whole_in_tiles(zoom, recorders):
    tiled = replace(zoom, tile=(256, 320))
    (answer,) = tiled.detect([draw()], EVERYTHING)
    assert {shape[2:] for shape in recorders[1].shapes} == {(256, 320)}
    assert len(answer.found) == 3


def test_time_is_split_and_adds_up(zoom):
    first, second = zoom.detect([draw(), draw([(8, 8)])], HALF_THE_PIXELS)
    assert first.times.coarse == pytest.approx(second.times.coarse)
    assert all(ms > 0 for ms in first.times)
    assert first.times.total == pytest.approx(sum(first.times))


def test_detectors_of_different_classes_are_refused():
    with pytest.raises(ValueError, match="both detectors must find the same classes"):
        ZoomDetector(CallableDetector(Recorder(), ["car"]), CallableDetector(Recorder(), ["bus"]))


def test_fine_detector_that_squeezes_images_is_refused():
    squeezing = CallableDetector(Recorder(), ["car"], squeezes_to=(320, 320))
    with pytest.raises(ValueError, match="squeezes every image to 320x320"):
        ZoomDetector(CallableDetector(Recorder(), ["car"]), squeezing)


def test_dense_rnet_without_features_is_refused(zoom):
    with pytest.raises(ValueError, match="needs features of the coarse pass"):
        replace(zoom, gains=DenseRNet(64))


def trained_like_rnet():
    """An R-net that promises something of every detection."""
    torch.manual_seed(1)
    rnet = RNet(2, 64).eval()
    torch.nn.init.constant_(rnet.gain.bias, 0.2)
    return rnet
