import json
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from modicum.restore.dncnn import DnCNN
from modicum.restore.evaluation import (
    baseline_path,
    choose_examples,
    compare_tiles,
    evaluate_run,
    image_scores,
    measure,
    most_detailed,
)
from modicum.restore.inference import make_inference
from modicum.restore.metrics import Scores, score
from modicum.restore.patch_options import PatchOptions
from modicum.restore.patches import DegradedImages
from modicum.restore.pixels import quantise
from modicum.restore.preparation import open_parts
from modicum.restore.rnan.network import RNAN
from modicum.restore.sources import open_images
from modicum.restore.task import Task
from modicum.storage.errors import RunError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network

NOISE = Task("denoise", 50)


@dataclass(frozen=True)
class Recipe:
    data: str
    task: Task = NOISE
    patches: PatchOptions = field(default_factory=lambda: PatchOptions(side=16))
    tile: int = 32
    halo: int = 4
    seed: int = 0


class Blur(nn.Module):
    """The mean of the 3x3 pixels around each: looks one pixel far."""

    features, scale, size_multiple, macs_per_pixel = 1, 1, 2, 9

    def __init__(self):
        super().__init__()
        self.mean = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        nn.init.constant_(self.mean.weight, 1 / 9)

    def forward(self, images):
        return self.mean(images)


@pytest.fixture(scope="module")
def images(photos_folder):
    return DegradedImages([image for image in open_images(photos_folder).records if image.split == "test"], NOISE)


@pytest.fixture
def inference():
    return make_inference(Blur().eval(), tile=32, halo=4)


@pytest.fixture(scope="module")
def run(photos_folder, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "run"
    run = RunFolder.create(path, system="rnan", recipe_text="", command="", versions={})
    open_parts(str(photos_folder), NOISE, PatchOptions(side=16), 0, run)
    save_network(run.weights, RNAN(1, features=4, local_groups=0))
    save_network(baseline_path(run), DnCNN(1, 4, depth=4))
    return run


@pytest.mark.parametrize(("classics", "ensemble"), [(True, True), (False, False)])
def test_evaluation_has_a_row_for_all_that_is_compared(run, inference, photos_folder, classics, ensemble):
    recipe = Recipe(str(photos_folder))

    found = evaluate_run(run, inference, recipe, system="rnan", classics=classics, ensemble=ensemble)

    names = [method.name for method in found.methods]
    assert names[:1] == ["network"]
    assert ("network, self-ensemble" in names) is ensemble
    assert names[1 + ensemble : 3 + ensemble] == ["DnCNN of equal cost", "noisy"]
    assert ("nl-means" in names) is classics
    assert found.num_images == {"train": 4, "calibration": 2, "test": 2}
    assert [image.name for image in found.images] == ["test/6.png", "test/7.png"]
    assert (found.tile, found.halo) == (32, 4)
    assert found.methods[0].scores.psnr == pytest.approx(np.mean([image.network.psnr for image in found.images]))
    assert (found.methods[0].parameters, found.methods[0].macs_per_pixel) == (9, 9)
    assert json.loads(json.dumps(found.to_json()))["methods"][0]["name"] == "network"


def test_a_blur_beats_noise_and_scores_as_by_hand(inference, images):
    method, scores = measure("blur", inference.restore, images)
    pair = images[0]
    assert scores[0] == score(quantise(inference.restore(pair.degraded)), pair.target, NOISE)
    assert method.scores.psnr > score(pair.degraded, pair.target, NOISE).psnr + 3
    assert method.seconds_per_megapixel > 0


def test_unfinished_run_is_not_evaluated(inference, photos_folder, tmp_path):
    run = RunFolder.create(tmp_path / "run", system="rnan", recipe_text="", command="", versions={})
    with pytest.raises(RunError, match=r"no model\.safetensors yet: finish its training with --resume"):
        evaluate_run(run, inference, Recipe(str(photos_folder)), system="rnan")


def test_super_resolution_is_measured_at_the_size_of_the_target(run, photos_folder):
    torch.manual_seed(0)
    inference = make_inference(RNAN(3, scale=2, features=4, local_groups=0).eval(), tile=32, halo=4)
    recipe = Recipe(str(photos_folder), task=Task("super-resolution", 2))
    plain = baseline_path(run)
    kept = plain.read_bytes()
    plain.unlink()  # it is for grey images

    found = evaluate_run(run, inference, recipe, system="rnan", ensemble=False)

    plain.write_bytes(kept)
    assert [method.name for method in found.methods] == ["network", "bicubic"]
    assert {part.shape for example in found.examples for part in (example.degraded, example.restored)} == {(40, 40, 3)}
    assert found.methods[0].macs_per_pixel == pytest.approx(inference.network.macs_per_pixel / 4)


def test_tiles_change_something_only_where_their_edges_show(inference, picture, tmp_path):
    Image.fromarray(picture(0, (192, 192))).save(tmp_path / "a.png")  # whole tiles of 48 and 96 pixels, side by side

    rows = compare_tiles(inference, DegradedImages(open_images(tmp_path).records, NOISE))

    assert [(row.tile, row.halo) for row in rows] == [(48, 0), (48, 8), (96, 0), (96, 12), (96, 12), (96, 24)]
    for row in rows:
        assert (row.max_difference > 1) is (row.halo == 0)
        assert (row.psnr_db < 60) is (row.halo == 0)
    assert (rows[0].work_factor, rows[3].work_factor) == (1, (3 * 96 / 192) ** 2)


def test_tile_that_covers_the_image_is_no_row(inference, images):
    assert compare_tiles(inference, images) == ()  # of 40x48 pixels


def test_most_detailed_window_holds_the_detail():
    image = np.zeros((100, 120), np.uint8)
    image[60:80, 20:40] = np.random.default_rng(0).integers(0, 256, (20, 20))
    top, left = most_detailed(image, 40)
    assert top % 2 == left % 2 == 0
    assert top <= 60
    assert top + 40 >= 80
    assert left <= 20
    assert left + 40 >= 40


@pytest.mark.parametrize("shape", [(40, 40), (41, 43, 3)])
def test_window_stays_in_the_image(shape, picture):
    top, left = most_detailed(picture(0, shape), 40)
    assert 0 <= top <= shape[0] - 40
    assert 0 <= left <= shape[1] - 40


def test_examples_go_from_the_greatest_gain_to_the_least(inference, images):
    scores = image_scores(images, [Scores(20, 0.5), Scores(25, 0.5)], [Scores(15, 0.1), Scores(15, 0.1)])
    examples = choose_examples(inference, images, scores)
    assert [example.name for example in examples] == ["test/7.png", "test/6.png"]
    assert all(example.degraded.shape == example.restored.shape == example.target.shape for example in examples)
