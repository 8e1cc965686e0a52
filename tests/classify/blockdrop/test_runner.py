import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.adaptive.knobs import KnobError
from modicum.classify.backbones import SmallResNet
from modicum.classify.blockdrop.export import export_blockdrop
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.runner import OnnxBlockDrop
from modicum.exporting import ExportError
from modicum.exporting.writing import Stated
from modicum.storage.sealing import read_sealed, write_sealed

CLASSES = ("zero", "one", "two")

WITHOUT_TORCH = """
import sys
import numpy as np
from modicum.classify.blockdrop.runner import OnnxBlockDrop
net = OnnxBlockDrop(sys.argv[1], threads=1)
assert net.predict(np.zeros((2, 3, 16, 16), np.float32)).logits.shape == (2, 3)
assert net.classify(sys.argv[2]).predicted in ("zero", "one", "two")
assert not {"torch", "torchvision", "timm"} & set(sys.modules)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's and ONNX Runtime's threads would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Block 0 hands on what it drops, block 1 has a shortcut that pools; keeping both is a frequent policy."""
    torch.manual_seed(0)
    network = BlockDrop(SmallResNet(3, widths=(4, 8), shortcut="pool"), num_classes=3, image_px=16, policy="small")
    return export_blockdrop(
        network,
        tmp_path_factory.mktemp("runner") / "export",
        Stated({"size": 16, "resize_short": 20, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}, CLASSES, knob=0.1),
        frequent=torch.ones(1, 2, dtype=torch.bool),
    )


@pytest.fixture
def net(folder):
    return OnnxBlockDrop(folder, threads=1)


@pytest.fixture
def calls(net, monkeypatch):
    """The name of each graph that runs, and the size of its batch, in order."""
    calls = []

    def spy(name, run):
        return run and (lambda batch: calls.append((name, len(batch))) or run(batch))

    names = ("stem", "block 0", "block 1", "head")
    steps = [
        step._replace(run=spy(name, step.run), shortcut=spy(f"shortcut of {name}", step.shortcut))
        for name, step in zip(names, net._steps, strict=True)
    ]
    monkeypatch.setattr(net, "_steps", steps)
    monkeypatch.setattr(net, "_paths", [spy("path", run) for run in net._paths])
    return calls


def random_images(num_images):
    return np.random.default_rng(0).standard_normal((num_images, 3, 16, 16)).astype(np.float32)


def random_picture(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def keeping(*rows):
    return np.array(rows, bool)


def test_a_block_gets_only_the_images_that_keep_it(net, calls):
    net.run(random_images(3), keeping([1, 0], [0, 0], [1, 0]))
    assert calls == [("stem", 3), ("block 0", 2), ("shortcut of block 1", 3), ("head", 3)]


def test_a_shortcut_gets_only_the_images_that_need_it(net, calls):
    net.run(random_images(3), keeping([0, 1], [0, 0], [0, 1]))
    assert calls == [("stem", 3), ("block 1", 2), ("shortcut of block 1", 1), ("head", 3)]


def test_a_frequent_policy_runs_as_a_whole_and_the_others_by_blocks(net, calls):
    net.run(random_images(3), keeping([1, 1], [0, 1], [1, 1]))
    assert calls == [("path", 2), ("stem", 1), ("block 1", 1), ("head", 1)]


def test_a_frequent_policy_by_blocks_gives_the_same(net):
    images, keep = random_images(2), keeping([1, 1], [1, 1])
    np.testing.assert_allclose(net.run(images, keep), net.run_by_blocks(images, keep), atol=1e-5)


def test_a_mixed_batch_equals_its_images_one_by_one(net):
    images, keep = random_images(5), keeping([1, 1], [0, 1], [1, 0], [0, 0], [1, 1])
    single = [net.run(images[row : row + 1], keep[row : row + 1])[0] for row in range(5)]
    np.testing.assert_allclose(net.run(images, keep), np.stack(single), atol=1e-5)


def test_images_are_not_written_over(net):
    images = random_images(4)
    before = images.copy()
    net.run(images, keeping([1, 0], [0, 1], [1, 1], [0, 0]))
    np.testing.assert_array_equal(images, before)


def test_images_are_not_written_over_where_a_block_comes_first(net, monkeypatch):
    images = np.ones((2, 3, 16, 16), np.float32)
    (first,) = [step for step in net._steps if step.unit == 0]
    double = first._replace(run=lambda features: {"features": features * 2})
    monkeypatch.setattr(net, "_steps", [double])
    found = net.run_by_blocks(images, keeping([1, 0], [0, 0]))
    assert (found[0].max(), found[1].max(), images.max()) == (2, 1, 1)


def test_an_empty_batch_runs_nothing(net, calls):
    result = net.predict(random_images(0))
    assert (result.logits.shape, result.routes.shape, result.macs.shape, calls) == ((0, 3), (0, 2), (0,), [])


def test_the_knob_of_the_export_is_the_default(net):
    scores = np.array([[0.55, 0.65]], np.float32)
    assert net.decide(scores).tolist() == net.decide(scores, 0.1).tolist() == [[False, True]]


def test_the_ends_of_the_knob_keep_everything_and_nothing(net):
    fixed = net._fixed_macs
    all_kept, none_kept = net.predict(random_images(2), -1.0), net.predict(random_images(2), 1.0)
    assert (all_kept.routes.all(), all_kept.macs.tolist()) == (True, [fixed + net._unit_macs.sum()] * 2)
    assert (none_kept.routes.any(), none_kept.macs.tolist()) == (False, [fixed] * 2)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 8, 8), np.float32), np.zeros((3, 16, 16), np.float32), np.zeros((2, 3, 16, 16))]
)
def test_other_shapes_and_types_are_refused(net, images):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 16, 16\) float32, normalised, got \("):
        net.predict(images)


@pytest.mark.parametrize("keep", [keeping([1, 0]), keeping([1, 0, 1], [1, 0, 1]), np.ones((2, 2))])
def test_keep_vectors_that_do_not_fit_are_refused(net, keep):
    with pytest.raises(ValueError, match=r"keep must be \(2, 2\) bool, a keep-vector per image, got \("):
        net.run(random_images(2), keep)


def test_a_changed_graph_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "block_1.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match=r"block_1\.onnx is not what was exported"):
        OnnxBlockDrop(tmp_path)


def test_a_manifest_without_steps_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = read_sealed(tmp_path / "manifest.json", remedy="")
    del content["details"]["steps"]
    write_sealed(tmp_path / "manifest.json", content)
    with pytest.raises(ExportError, match="does not state steps"):
        OnnxBlockDrop(tmp_path)


def test_torch_is_not_imported(folder, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, folder, tmp_path / "a.png"], check=True)


def test_a_picture_is_classified_alike_from_path_and_memory(net, tmp_path):
    random_picture(50, 40).save(tmp_path / "a.png")
    found = net.classify(tmp_path / "a.png", knob=1.0)
    assert found == net.classify(random_picture(50, 40), knob=1.0)
    assert found.predicted in CLASSES
    assert 1 / 3 <= found.probability <= 1
    assert found.route == "0 of 2 blocks"
    assert found.cost == net._fixed_macs / (net._fixed_macs - net._decision_macs + net._unit_macs.sum())


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
