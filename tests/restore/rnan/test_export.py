import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.exporting import ExportError
from modicum.nn.tiling import Tiling, run_tiled
from modicum.restore.predictor import Predictor
from modicum.restore.rnan.export import check_export, export_rnan
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.runner import OnnxRNAN
from modicum.restore.task import Task

pytest.importorskip("onnxruntime", reason="the export extra is not installed")
TILE, HALO = 24, 4
NOISE = Task("denoise", 50)


def awake(channels=1, **options):
    """A network whose attention and residuals do something, unlike those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RNAN(channels, features=4, local_groups=0, **options)
        with torch.no_grad():
            for each in network.parameters():
                each.add_(0.05 * torch.randn_like(each))
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return awake()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    return export_rnan(network, tmp_path_factory.mktemp("exported") / "rnan", task=NOISE, tile=TILE, halo=HALO)


def test_exported_network_answers_as_the_network(network, folder):
    assert check_export(network, folder) <= 1e-4


def test_other_weights_are_told_apart(folder):
    with pytest.raises(ExportError):
        check_export(RNAN(1, features=4, local_groups=0).eval(), folder)


@pytest.mark.parametrize("size", [(24, 24), (61, 70), (8, 8), (1, 3), (5, 90)])
def test_images_of_any_size_are_restored_as_in_pytorch(network, folder, picture, size):
    image = picture(1, size)

    restored = OnnxRNAN(folder, threads=1).restore(image)

    assert restored.shape == size
    tiling = Tiling(TILE, HALO, 4, is_fixed=True)
    np.testing.assert_allclose(restored, run_tiled(network, image[None], tiling)[0], atol=255e-4)


def test_images_that_tiles_fit_are_restored_as_by_the_usual_tiles(network, folder, picture):
    image = picture(2, (40, 62))

    restored = OnnxRNAN(folder, threads=1).restore(image)

    np.testing.assert_allclose(restored, run_tiled(network, image[None], Tiling(TILE, HALO, 4))[0], atol=255e-4)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (Task("denoise", 50, colour=True), {"normalize": "outputs", "value_range": 255.0}),
        (Task("jpeg", 10), {"non_local": False, "value_range": 1.0}),
        (Task("super-resolution", 3), {"scale": 3}),
    ],
)
def test_other_forms_are_exported_too(task, options, tmp_path):
    folder = export_rnan(awake(task.channels, **options), tmp_path / "rnan", task=task, tile=TILE, halo=HALO)
    assert OnnxRNAN(folder).task == task


def test_attention_over_outputs_is_written_out_in_blocks(tmp_path):
    network = awake(normalize="outputs", value_range=1.0)
    folder = export_rnan(network, tmp_path / "rnan", task=NOISE, tile=34, halo=HALO)  # 1,156 positions, two blocks
    assert check_export(network, folder) <= 1e-4


def test_manifest_says_how_tiles_are_fed(folder):
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details == {
        "task": {"name": "denoise", "level": 50, "colour": None, "noise": "clipped"},
        "degraded": {"shape": ["batch", 1, 24, 24], "dtype": "float32", "range": [0, 255]},
        "restored": {"shape": ["batch", 1, 24, 24], "dtype": "float32", "range": [0, 255], "is_clipped": False},
        "channels": 1,
        "scale": 1,
        "tile": 24,
        "halo": 4,
        "feather": 4,
        "multiple": 2,
    }


def test_exported_network_restores_photographs(network, folder, picture, tmp_path):
    Image.fromarray(picture(3, (30, 33, 3))).save(tmp_path / "photo.png")
    runner = OnnxRNAN(folder, threads=1)

    restored = Predictor(runner, runner.task)(tmp_path / "photo.png")

    assert restored.after.pixels.shape == (30, 33, 3)
    channel = runner.restore(restored.before.pixels[..., 1]).clip(0, 255)
    np.testing.assert_array_equal(restored.after.pixels[..., 1], channel)


def test_progress_counts_tiles(folder, picture):
    told = []
    OnnxRNAN(folder, threads=1).restore(picture(0, (24, 30)), lambda *at: told.append(at))
    assert told == [(1, 2), (2, 2)]


def test_network_of_another_task_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"'demosaic' needs 3 .* scale 1, but the network is for 1 at scale 1"):
        export_rnan(network, tmp_path / "rnan", task=Task("demosaic"), tile=TILE, halo=HALO)


def test_tile_that_keeps_nothing_is_refused_and_leaves_no_folder(network, tmp_path):
    with pytest.raises(ValueError, match="tile must be a multiple of 2 and at least 30"):
        export_rnan(network, tmp_path / "rnan", task=NOISE, tile=24, halo=12)
    assert list(tmp_path.iterdir()) == []


def test_tiles_and_images_of_other_forms_are_refused(folder):
    runner = OnnxRNAN(folder, threads=1)
    with pytest.raises(ValueError, match=r"tiles must be \(B, 1, 24, 24\) float32, got \(1, 1, 24, 20\) float32"):
        runner.run(np.zeros((1, 1, 24, 20), np.float32))
    with pytest.raises(ValueError, match=r"must have 1 channel\(s\), got shape \(9, 9, 3\)"):
        runner.restore(np.zeros((9, 9, 3), np.uint8))


def test_runner_and_predictor_need_no_torch():
    code = (
        "import sys, modicum.restore.predictor, modicum.restore.rnan.runner;"
        "assert not {'torch', 'onnx', 'skimage', 'cv2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
