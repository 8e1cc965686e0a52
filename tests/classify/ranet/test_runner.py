import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.adaptive.knobs import KnobError
from modicum.classify.ranet.deciding import CLOSED
from modicum.classify.ranet.runner import OnnxRANet
from modicum.exporting import ExportError
from modicum.storage.sealing import read_sealed, write_sealed

WITHOUT_TORCH = """
import sys
import numpy as np
from modicum.classify.ranet.runner import OnnxRANet
net = OnnxRANet(sys.argv[1], threads=1)
assert net.predict(np.zeros((2, 3, 16, 16), np.float32)).logits.shape == (2, 5)
assert net.classify(sys.argv[2]).predicted.startswith("class ")
assert not {"torch", "torchvision", "timm", "sklearn"} & set(sys.modules)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(exported):
    return exported[2]


@pytest.fixture
def net(folder):
    return OnnxRANet(folder, threads=1)


class Spy:
    """A graph that notes its role and how many images it gets."""

    def __init__(self, role, step, calls):
        self.role, self.step, self.calls, self.reads = role, step, calls, step.reads

    def __call__(self, tensors):
        sizes = {len(tensors[name]) for name in self.reads}
        assert len(sizes) == 1
        self.calls.append((self.role, sizes.pop()))
        return self.step(tensors)


@pytest.fixture
def calls(net, monkeypatch):
    """Role of each graph that is run, with the size of its batch, in order."""
    calls = []
    monkeypatch.setattr(net, "_stem", Spy("stem", net._stem, calls))
    for kind in ("bodies", "heads"):
        spies = [Spy(f"{kind} {exit}", step, calls) for exit, step in enumerate(getattr(net, f"_{kind}"), start=1)]
        monkeypatch.setattr(net, f"_{kind}", spies)
    return calls


class StatedThresholds:
    """A rule with fixed thresholds."""

    def __init__(self, *thresholds):
        self.thresholds = thresholds

    def leaves(self, index, confidence, knob):
        return confidence >= self.thresholds[index]

    def open_exits(self, knob):
        return tuple(threshold < CLOSED for threshold in self.thresholds)


def random_images(num_images):
    return np.random.default_rng(0).standard_normal((num_images, 3, 16, 16)).astype(np.float32)


def random_picture(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_nothing_is_run_after_all_images_have_left(net, calls):
    net.run(random_images(3), np.array([0, 0, 0]))
    assert calls == [("stem", 3), ("bodies 1", 3), ("heads 1", 3)]


def test_only_images_that_stay_go_on_and_heads_see_only_those_that_leave(net, calls):
    net.run(random_images(5), np.array([2, 0, 1, 2, 0]))
    assert calls == [
        ("stem", 5),
        ("bodies 1", 5),
        ("heads 1", 2),
        ("bodies 2", 3),
        ("heads 2", 1),
        ("bodies 3", 2),
        ("heads 3", 2),
    ]


def test_the_head_of_an_exit_where_nobody_can_leave_is_not_run(net, calls):
    net.rule = StatedThresholds(CLOSED, -CLOSED, -CLOSED)
    result = net.predict(random_images(4))
    assert calls == [("stem", 4), ("bodies 1", 4), ("bodies 2", 4), ("heads 2", 4)]
    assert result.macs.tolist() == [net._trunk_macs[:2].sum() + net._head_macs[1]] * 4


def test_images_leave_where_their_confidence_reaches_the_threshold(net):
    images = random_images(9)
    scores = net.scores(images)
    net.rule = StatedThresholds(float(np.median(scores[:, 0])) - 1e-5, CLOSED, -CLOSED)
    result = net.predict(images)
    np.testing.assert_array_equal(result.routes, net.decide(scores))
    assert (result.routes == 0).sum() == 5
    np.testing.assert_allclose(result.logits, net.every_exit(images)[range(9), result.routes], atol=1e-5)


@pytest.mark.parametrize("knob", [-0.5, 0.25])
def test_an_image_that_is_not_a_number_leaves_at_the_last_exit_and_disturbs_no_other(net, knob):
    images = random_images(3)
    rest = net.predict(images[[0, 2]], knob)
    images[1] = np.nan
    found = net.predict(images, knob)
    assert found.routes[1] == 2
    assert np.isnan(found.logits[1]).all()
    np.testing.assert_array_equal(found.routes[[0, 2]], rest.routes)
    np.testing.assert_allclose(found.logits[[0, 2]], rest.logits, atol=1e-5)


def test_an_image_that_no_exit_lets_go_has_no_answer_that_looks_like_one(net):
    net.rule = StatedThresholds(2.0, 2.0, 2.0)
    assert np.isnan(net.predict(random_images(2)).logits).all()


def test_a_mixed_batch_equals_its_images_one_by_one(net):
    images, routes = random_images(5), np.array([2, 0, 1, 2, 0])
    single = [net.run(images[row : row + 1], routes[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(net.run(images, routes), np.stack(single), atol=1e-5)


def test_means_need_the_heads_of_all_exits_up_to_an_images_own(averaged):
    net, images, routes = OnnxRANet(averaged[1], threads=1), random_images(5), np.array([2, 0, 1, 2, 0])
    calls = []
    net._heads = [Spy(number, head, calls) for number, head in enumerate(net._heads, start=1)]
    answers = net.run(images, routes)
    assert calls == [(1, 5), (2, 3), (3, 2)]
    single = [net.run(images[row : row + 1], routes[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(answers, np.stack(single), atol=1e-5)
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1, atol=1e-5)


def test_an_export_from_before_exits_could_be_averaged_answers_by_each_exit(exported, tmp_path):
    folder = shutil.copytree(exported[2], tmp_path / "old")
    content = read_sealed(folder / "manifest.json", remedy="")
    del content["details"]["decision"]["average"], content["details"]["decision"]["answer"]
    write_sealed(folder / "manifest.json", content)
    images = random_images(4)
    found, expected = OnnxRANet(folder, threads=1).predict(images), OnnxRANet(exported[2], threads=1).predict(images)
    np.testing.assert_array_equal(found.logits, expected.logits)


def test_an_empty_batch_runs_nothing(net, calls):
    result = net.predict(random_images(0))
    assert (result.logits.shape, result.routes.shape, result.macs.shape, calls) == ((0, 5), (0,), (0,), [])
    assert net.scores(random_images(0)).shape == (0, 3)


def test_the_knob_of_the_export_is_the_default(net):
    images = random_images(8)
    np.testing.assert_array_equal(net.predict(images).routes, net.predict(images, knob=0.25).routes)


def test_a_high_knob_lets_all_leave_at_the_first_exit(net):
    result = net.predict(random_images(4), knob=40.0)
    assert result.routes.tolist() == [0] * 4
    assert result.macs.tolist() == [net._trunk_macs[0] + net._head_macs[0]] * 4


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 8, 8), np.float32), np.zeros((3, 16, 16), np.float32), np.zeros((2, 3, 16, 16))]
)
def test_other_shapes_and_types_are_refused(net, images):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\) float32, normalised, got \("):
        net.predict(images)


@pytest.mark.parametrize("routes", [[0], [0, 3], [-1, 0]])
def test_routes_that_do_not_exist_are_refused(net, routes):
    with pytest.raises(ValueError, match=r"routes must be 2 numbers in \[0, 3\)"):
        net.run(random_images(2), np.array(routes))


def test_a_changed_graph_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "head_1.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match=r"head_1\.onnx is not what was exported"):
        OnnxRANet(tmp_path)


def test_a_manifest_without_the_decision_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = read_sealed(tmp_path / "manifest.json", remedy="")
    del content["details"]["decision"]
    write_sealed(tmp_path / "manifest.json", content)
    with pytest.raises(ExportError, match="does not state decision"):
        OnnxRANet(tmp_path)


def test_torch_is_not_imported(folder, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, folder, tmp_path / "a.png"], check=True)


def test_a_picture_is_classified_alike_from_path_and_memory(net, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    found = net.classify(tmp_path / "a.png", knob=40.0)
    assert found == net.classify(random_picture(50, 40), knob=40.0)
    assert found.predicted in net.classes
    assert 1 / 5 <= found.probability <= 1
    assert found.route == "exit 1"
    last_alone = net._trunk_macs.sum() + net._head_macs[-1]
    assert found.cost == pytest.approx((net._trunk_macs[0] + net._head_macs[0]) / last_alone)


@pytest.mark.parametrize("knob", [float("inf"), float("-inf"), float("nan")])
def test_a_knob_that_is_no_finite_number_is_refused(net, knob):
    images = np.zeros((3, 3, 16, 16), np.float32)
    for use in (
        lambda: net.decide(net.scores(images), knob),
        lambda: net.predict(images, knob),
        lambda: net.classify(Image.new("RGB", (16, 16)), knob),
    ):
        with pytest.raises(KnobError, match=f"knob must be a finite number, got {knob}"):
            use()
