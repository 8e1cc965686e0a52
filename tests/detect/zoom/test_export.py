"""An exported zooming detector answers as the original does, without torch."""

import json
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.detect.detectors.callable_detector import CallableDetector
from modicum.detect.pixels import to_image
from modicum.detect.zoom.export import export_zoom
from modicum.detect.zoom.gain_graphs import check_qnet, write_qnet
from modicum.detect.zoom.inference import ZoomDetector
from modicum.detect.zoom.limits import ZoomLimit
from modicum.detect.zoom.onnx_gains import OnnxFixedQnet, OnnxQnet
from modicum.detect.zoom.planners import DensityPlanner, SlidingWindows, SpacedWindows, ValuePlanner
from modicum.detect.zoom.policies import RungPolicy
from modicum.detect.zoom.qnet import ConvQnet, FcQnet, ResidualQnet, values_of
from modicum.detect.zoom.rnet import DenseRNet, RNet
from modicum.detect.zoom.runner import OnnxZoom
from modicum.detect.zoom.score_map import ScoreMap
from modicum.exporting.parity import ExportError
from modicum.exporting.sessions import GraphRunner

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))), reason="needs the extra 'export'"
)
SCORES = ScoreMap(np.array([0.0, 0.3, 1.0]), np.array([0.0, 0.5, 0.9]))
LIMITS = [ZoomLimit(price=0.5), ZoomLimit(price=0), ZoomLimit(max_pixels=0.5), ZoomLimit(max_windows=3)]


def stirred(network):
    """Draws the last layers, which begin at 0, at random."""
    torch.manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def pictures_of(*shapes):
    generator = np.random.default_rng(3)
    for height, width in shapes:
        blocks = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
        noise = generator.normal(0, 8, (height, width, 3))  # no two places look alike
        yield np.clip(blocks[:height, :width] + noise, 0, 255).astype(np.uint8)


def assert_same_detections(found, expected, width):
    """Pairs detections within 1e-4, boxes relative to the width: scores that near may stand in another order."""
    assert len(found.boxes) == len(expected.boxes)
    alike = np.abs(found.boxes[:, None] - expected.boxes[None]).max(2) / width < 1e-4
    alike &= np.abs(found.scores[:, None] - expected.scores[None]) < 1e-4
    alike &= found.labels[:, None] == expected.labels[None]
    assert alike.any(0).all(), f"{(~alike.any(0)).sum()} of {len(expected.boxes)} have no counterpart"
    assert alike.any(1).all()


def assert_alike(zoom, runner, limits=LIMITS, shapes=((240, 320), (250, 410), (240, 320))):
    """Compares answers to pictures of two sizes; returns how many windows were read."""
    pictures, num_windows = list(pictures_of(*shapes)), 0
    for limit in limits:
        expected = zoom.detect([to_image(each) for each in pictures], limit)
        for own, other in zip(runner.detect(pictures, limit), expected, strict=True):
            assert np.array_equal(own.windows, other.windows)
            assert own.pixels == other.pixels
            assert_same_detections(own.found, other.found.arrays(), own.size[0])
            assert len(own.found.boxes) > 10
            num_windows += len(own.windows)
    return num_windows


@pytest.fixture(scope="module")
def exported(tmp_path_factory, stirred_detector):
    """A zooming detector with R-net that sees features, and where it was exported."""
    coarse, fine = stirred_detector(0), stirred_detector(1)
    planner = DensityPlanner(SlidingWindows(((0.5, 0.5), (96, 96))))
    rnet = stirred(RNet(2, 64, hidden=16))
    torch.nn.init.constant_(rnet.gain.bias, 1.0)  # most detections promise something, so that windows are read
    zoom = ZoomDetector(coarse, fine, 0.5, rnet, planner, coarse_scores=SCORES, fine_scores=SCORES)
    return zoom, export_zoom(zoom, tmp_path_factory.mktemp("zoom") / "export", price=0.5, calibration={"target": 0.99})


def test_detections_windows_and_pixels_are_equal(exported):
    zoom, folder = exported
    runner = OnnxZoom(folder, threads=1)

    assert assert_alike(zoom, runner) > 10
    assert runner.classes == zoom.classes


def test_the_exported_price_holds_unless_another_limit_is_named(exported):
    zoom, folder = exported
    runner, (picture,) = OnnxZoom(folder, threads=1), pictures_of((240, 320))

    (answer,) = runner.detect([picture])

    assert np.array_equal(answer.windows, zoom.detect([to_image(picture)], ZoomLimit(price=0.5))[0].windows)
    assert answer.share == answer.pixels / (240 * 320)


def test_a_file_is_read_upright_and_low_scores_are_left_out(exported, tmp_path):
    runner, (picture,) = OnnxZoom(exported[1], threads=1), pictures_of((240, 320))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(picture[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)

    (whole,) = runner.detect([picture])
    least = float(np.median(whole.found.scores))

    found = runner.find(tmp_path / "turned.png", min_score=least).found

    assert np.array_equal(found.boxes, whole.found.boxes[whole.found.scores >= least])
    assert 0 < len(found.boxes) < len(whole.found.boxes)


def test_pictures_that_are_none_are_refused(exported):
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8 with pixels, got \(3, 8, 8\)"):
        OnnxZoom(exported[1], threads=1).detect([np.zeros((3, 8, 8), np.uint8)])


def test_the_manifest_is_plain_data_with_digests(exported):
    manifest = json.loads((exported[1] / "manifest.json").read_text())

    assert manifest["system"] == "zoom"
    assert set(manifest["graphs"]) == {"coarse", "coarse regions", "fine", "R-net"}
    assert manifest["details"]["calibration"] == {"target": 0.99}
    assert manifest["details"]["planner"]["layout"]["sizes"] == [[0.5, 0.5], [96, 96]]


def test_a_changed_graph_is_refused(exported, tmp_path):
    import shutil

    copy = shutil.copytree(exported[1], tmp_path / "copy")
    with (copy / "fine.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match="is not what was exported"):
        OnnxZoom(copy)


def test_the_runner_needs_no_torch(exported, tmp_path):
    (picture,) = pictures_of((240, 320))
    Image.fromarray(picture).save(tmp_path / "p.png")
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'scipy', 'sklearn', 'timm'): sys.modules[name] = None\n"
        "from modicum.detect.zoom.runner import OnnxZoom\n"
        f"print(len(OnnxZoom({str(exported[1])!r}, threads=1).find({str(tmp_path / 'p.png')!r}).found.boxes))"
    )

    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert int(printed) == len(OnnxZoom(exported[1], threads=1).detect([picture])[0].found.boxes)


def test_a_dense_rnet_a_qnet_and_one_detector_for_both_passes_answer_alike(stirred_detector, tmp_path):
    detector, layout, rungs = (
        stirred_detector(0),
        SlidingWindows(((0.5, 0.5), (96, 96))),
        RungPolicy((1.0, 4.0), (0, 0)),
    )
    qnet = stirred(ResidualQnet(ConvQnet(2)))
    planner = ValuePlanner(partial(values_of, qnet), layout, rungs.price_at)
    zoom = ZoomDetector(detector, detector, 0.5, stirred(DenseRNet(64, (16, 8))), planner)

    runner = OnnxZoom(export_zoom(zoom, tmp_path / "q", price=4, qnet=qnet, rungs=rungs), threads=1)

    assert not (tmp_path / "q" / "fine.onnx").exists()  # one graph has both roles
    assert assert_alike(zoom, runner, [ZoomLimit(price=4), ZoomLimit(max_windows=2)]) > 3


@pytest.mark.parametrize("form", ["plain", "fixed"])
def test_other_qnets_give_the_same_values(form, tmp_path):
    layout = SpacedWindows() if form == "fixed" else SlidingWindows(((0.5, 0.5), (96, 96)))
    qnet = stirred(FcQnet() if form == "fixed" else ConvQnet(2))

    graphs = {role: GraphRunner(tmp_path, graph, threads=1) for role, graph in write_qnet(qnet, tmp_path).items()}

    first, *rest = graphs.values()
    exported = OnnxFixedQnet(first) if form == "fixed" else OnnxQnet(first, rest, is_residual=False)
    for size in ((320, 240), (410, 250)):
        grid = layout.grid(*size)
        assert check_qnet(qnet, exported, grid, layout.lattices(grid)) < 1e-5


def test_a_qnet_that_is_not_given_is_asked_for(stirred_detector, tmp_path):
    detector = stirred_detector(0)
    planner = ValuePlanner(partial(values_of, ConvQnet(2)))
    with pytest.raises(ValueError, match="give qnet, too"):
        export_zoom(ZoomDetector(detector, detector, planner=planner), tmp_path / "q", price=4)


def test_a_function_is_refused_and_nothing_is_written(stirred_detector, tmp_path):
    function = CallableDetector(lambda images: [], ("car", "bus"))
    with pytest.raises(ExportError, match="the fine detector: a detector of the kind CallableDetector"):
        export_zoom(ZoomDetector(stirred_detector(0), function), tmp_path / "f", price=4)

    assert not list(tmp_path.iterdir())
