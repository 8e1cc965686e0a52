import json

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.exporting import ExportError
from modicum.saliency.data.transforms import Preprocessing, to_input
from modicum.saliency.export import check_export, export_saliency
from modicum.saliency.network import SaliencyNet
from modicum.saliency.predictor import Predictor
from modicum.saliency.runner import OnnxSaliency

pytest.importorskip("onnxruntime", reason="the export extra is not installed")
PREPROCESSING = Preprocessing(size=48)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SaliencyNet("small", width=8, steps=2)
        network(torch.randn(4, 3, 48, 48))  # so that running statistics are not those of a fresh network
    return network.eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    return export_saliency(network, tmp_path_factory.mktemp("exported") / "saliency", PREPROCESSING)


def test_exported_maps_are_those_of_the_network(network, folder):
    assert check_export(network, folder) <= 1e-4


def test_other_weights_are_told_apart(network, folder):
    other = SaliencyNet("small", width=8, steps=2).eval()
    with pytest.raises(ExportError):
        check_export(other, folder)


def test_picture_of_any_size_gets_a_mask_of_its_size(network, folder):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8))
    assert OnnxSaliency(folder).find(picture).shape == (50, 71)


@pytest.mark.parametrize("size", [(50, 71), (300, 140), (20, 30)], ids=["alike", "guided", "smaller"])
def test_masks_are_those_of_prediction(network, folder, size):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)  # has edges at any size
    picture = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    ours = OnnxSaliency(folder).find(picture).astype(int)
    assert np.abs(ours - Predictor(network, PREPROCESSING)(picture).mask).max() <= 1


def test_picture_is_prepared_as_in_training_up_to_rounding(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    ours = OnnxSaliency(folder).prepare(Image.fromarray(pixels))
    theirs = PREPROCESSING.normalise(to_input(pixels, 48)[None]).numpy()
    assert np.abs(ours - theirs).max() <= 1.01 / 255 / min(PREPROCESSING.std)


def test_images_of_another_size_are_refused(folder):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 48, 48\) float32, got \(1, 3, 40, 40\)"):
        OnnxSaliency(folder).run(np.zeros((1, 3, 40, 40), np.float32))


def test_manifest_says_how_images_are_fed(folder):
    details = json.loads((folder / "manifest.json").read_text())["details"]
    expected = {"size": 48, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert details["preprocessing"] == {**expected, "interpolation": "bilinear"}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (50, 71, 4), dtype=np.uint8)


def test_transparent_picture_is_laid_on_white(folder, pixels):
    runner, picture = OnnxSaliency(folder), Image.fromarray(pixels)
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    np.testing.assert_array_equal(runner.find(picture), runner.find(on_white))


def test_picture_is_turned_upright(folder, pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.png", exif=exif)
    runner, upright = OnnxSaliency(folder), Image.fromarray(np.rot90(pixels[..., :3], -1))
    with Image.open(tmp_path / "turned.png") as turned:
        np.testing.assert_array_equal(runner.find(turned), runner.find(upright))
