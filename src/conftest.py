"""Prepares what the examples in docstrings need: a folder to work in and, where they name it, a run on ``photos/``."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BRIGHTNESS = {"cloudy": 90, "sunny": 200}


@pytest.fixture(autouse=True)
def example_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each example in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    if "runs/photos" in request.node.dtest.docstring:
        shutil.copytree(request.getfixturevalue("trained_on_photos"), tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def trained_on_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos/``, forty pictures of two classes, and ``runs/photos``, trained on them and evaluated."""
    from modicum import verbs
    from modicum.measuring.timing import limited_threads

    folder = tmp_path_factory.mktemp("examples")
    write_photos(folder / "photos")
    with limited_threads(1), pytest.MonkeyPatch.context() as patch:
        # The plots of a report would take most of the time.
        patch.setattr("modicum.verbs.training.write_report", lambda run: verbs.evaluate(run.path))
        place = folder / "runs" / "photos"
        verbs.train("drnet", recipe="drnet-quick", out=place, data=folder / "photos", baselines=False)
    return folder


def write_photos(folder: Path) -> None:
    """Writes twenty noisy pictures of 32 pixels for each class."""
    random = np.random.default_rng(0)
    for name, brightness in BRIGHTNESS.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(brightness - 40, brightness + 40, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
