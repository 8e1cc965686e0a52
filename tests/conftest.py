import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modicum.classify.data import DigitScenes


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def encoded():
    """Function from a picture (and format, options) to the bytes of its file."""
    return encode


@pytest.fixture(scope="session")
def noise():
    """Function from a seed to a picture of 12 x 10 px that no other seed gives."""

    def make(seed: int) -> Image.Image:
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))

    return make


@pytest.fixture
def write_tree(tmp_path, noise):
    """Function that writes a different picture to each of the given paths and returns their folder."""

    def write(*paths: str, root: Path = tmp_path) -> Path:
        for number, path in enumerate(paths):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(noise(number)))
        return root

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where there is none."""
    if "MODICUM_DATA" not in os.environ:
        pytest.skip("MODICUM_DATA is not set: it points to the folder of real data sets")
    return Path(os.environ["MODICUM_DATA"])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share their cores with other work, where a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred digits of 32 pixels as a user would hold them: PNG files, one folder per class, split."""
    folder = tmp_path_factory.mktemp("digits")
    scenes = DigitScenes(side=32, sizes=(300, 100, 100))
    for index, record in enumerate(scenes.records):
        place = folder / str(record.split) / scenes.classes[record.label]
        place.mkdir(parents=True, exist_ok=True)
        scenes.open(index).save(place / f"{index}.png")
    return folder


@pytest.fixture
def inputs_of(digit_folder: Path, tmp_path: Path) -> Callable[[str], tuple[object, object, object]]:
    """Function from a system to what it is asked, by its wing: something good, something broken, something good."""
    from modicum.reading.asking import Ask
    from modicum.systems import get_system

    pictures = sorted(digit_folder.rglob("*.png"))[:2]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    passage = "the colour of Bako is light blue . 1868 is the year of Miru ."
    asks = (
        Ask(passage, "what is the year of Miru ?", "first"),
        Ask("\x00 ", "what ?", "second"),
        Ask(passage, "what is the colour of Bako ?", "third"),
    )

    def choose(system: str) -> tuple[object, object, object]:
        return asks if get_system(system).wing == "reading" else (pictures[0], broken, pictures[1])

    return choose


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory, digit_folder: Path) -> Callable[[str], Path]:
    """The run folder of a system, trained by its quick recipe; trained once per session.

    Classifiers are trained on a folder of images, the other tasks on their embedded data.
    """
    from modicum import verbs
    from modicum.systems import get_system

    runs: dict[str, Path] = {}

    def train(system: str) -> Path:
        if system not in runs:
            out = tmp_path_factory.mktemp("runs") / system
            data = str(digit_folder) if get_system(system).wing == "classify" else None
            runs[system] = verbs.train(system, recipe=f"{system}-quick", data=data, out=out).path
        return runs[system]

    return train
