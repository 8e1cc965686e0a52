from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from modicum.classify.data import DigitScenes


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


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory, digit_folder: Path) -> Callable[[str], Path]:
    """The run folder of a system, trained by its quick recipe on a folder of images; trained once per session."""
    from modicum import verbs

    runs: dict[str, Path] = {}

    def train(system: str) -> Path:
        if system not in runs:
            out = tmp_path_factory.mktemp("runs") / system
            runs[system] = verbs.train(system, recipe=f"{system}-quick", data=str(digit_folder), out=out).path
        return runs[system]

    return train
