import pytest
import torch
from torch.testing import assert_close

from modicum.classify.ranet import anytime as anytime_module
from modicum.classify.ranet.anytime import anytime, measure_segments, predict_within
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import Structure

IMAGES = torch.ones(2, 3, 8, 8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    structure = Structure((1, 2), (2, 1), (2, 1), base_channels=4, growth=4, layers=2)
    return RANet(structure, num_classes=3, image_px=8, head="lite").eval()


@pytest.fixture
def begun(network):
    """The segments begun, in order, while the test runs."""
    seen = []
    hooks = [
        segment.register_forward_pre_hook(lambda module, args, index=index: seen.append(index))
        for index, segment in enumerate(network.segments)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.fixture
def clock(network, monkeypatch):
    """A clock on which every segment takes 10 ms."""
    now = [0.0]
    monkeypatch.setattr(anytime_module.time, "perf_counter", lambda: now[0])

    def tick(module, args):
        now[0] += 0.010

    hooks = [segment.register_forward_pre_hook(tick) for segment in network.segments]
    yield now
    for hook in hooks:
        hook.remove()


def test_answers_are_those_of_the_exits(network):
    answers = list(anytime(network, IMAGES))
    with torch.no_grad():
        expected = network.every_exit(IMAGES)
    assert [answer.exit for answer in answers] == [0, 1, 2, 3]
    assert torch.equal(torch.stack([answer.logits for answer in answers], dim=1), expected)
    assert tuple(answer.macs for answer in answers) == network.costs.per_route


def test_averaged_answers_are_the_means_so_far(network):
    averaged = RANet(network.structure, num_classes=3, image_px=8, head="lite", average_exits=True).eval()
    averaged.load_state_dict(network.state_dict())
    found = torch.stack([answer.logits for answer in anytime(averaged, IMAGES)], dim=1)
    with torch.no_grad():
        assert_close(found, averaged.answers(averaged.every_exit(IMAGES)))


def test_nothing_is_computed_before_it_is_asked_for(network, begun):
    answers = anytime(network, IMAGES)
    assert begun == []
    next(answers)
    assert begun == [0]
    next(answers)
    assert begun == [0, 1]


def test_gradients_are_as_before_between_answers(network):
    for _ in anytime(network, IMAGES):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(("deadline_ms", "exit_index"), [(-1, 0), (0, 0), (5, 0), (15, 1), (35, 3), (1000, 3)])
def test_without_times_a_segment_is_begun_while_time_is_left(network, clock, deadline_ms, exit_index):
    assert predict_within(network, IMAGES, deadline_ms).exit == exit_index


@pytest.mark.parametrize(("deadline_ms", "exit_index"), [(-1, 0), (5, 0), (15, 0), (25, 1), (35, 2), (1000, 3)])
def test_with_times_no_segment_is_begun_that_would_be_late(network, clock, begun, deadline_ms, exit_index):
    answer = predict_within(network, IMAGES, deadline_ms, segment_ms=[10.0] * 4)
    assert answer.exit == exit_index
    assert begun == list(range(exit_index + 1))
    assert clock[0] <= max(deadline_ms / 1000, 0.010)


def test_times_must_be_one_per_exit(network):
    with pytest.raises(ValueError, match="segment_ms must have one entry per exit, 4, got 2"):
        predict_within(network, IMAGES, 1.0, segment_ms=[1.0, 2.0])


def test_measured_times_are_one_per_exit_and_positive(network):
    times = measure_segments(network, IMAGES, rounds=1)
    assert len(times) == 4
    assert min(times) > 0


def test_first_of_the_measured_times_has_the_stem(network, monkeypatch):
    monkeypatch.setattr(anytime_module, "time_in_turn", lambda runs, rounds: dict.fromkeys(runs, 0.001))
    assert measure_segments(network, IMAGES) == (2.0, 1.0, 1.0, 1.0)


def test_images_of_another_size_are_refused(network):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 8, 8\), got"):
        next(anytime(network, torch.zeros(1, 3, 9, 9)))
