"""Every training that users are shown runs to its end: the command as it is quoted, on small data, a step per stage."""

import io
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from markupsafe import Markup
from PIL import Image
from quoted_commands import ALL
from recipe_inputs import (
    CLASSES,
    picture,
    reduced,
    write_cifar,
    write_encoder,
    write_masked,
    write_photos,
    write_published,
    write_questions,
    write_released_rnan,
    write_small_photographs,
    write_table,
    write_vectors,
    write_weights,
)
from written_graphs import write_graph
from written_sets import write_marks

from modicum import cli, verbs
from modicum.classify.cascade.member_names import MemberName, parse_member
from modicum.classify.data import caltech
from modicum.classify.data import opening as digits
from modicum.datasets.photographs import packaged_photograph
from modicum.detect.data import opening as marks
from modicum.detect.detectors.network import LightFCOS
from modicum.nn.efficientnet_lite import lite_file
from modicum.nn.published import timm_file
from modicum.nn.weight_names import LITE_NETWORKS, PUBLISHED
from modicum.reading.data import opening as facts
from modicum.recipes import build_recipe, read_recipe, recipe_names, recipe_text
from modicum.reporting import page
from modicum.reporting.embedding import EmbeddedPlot
from modicum.reporting.report import Report
from modicum.restore import sources
from modicum.saliency.data import opening as scenes
from modicum.storage.errors import MissingExtraError
from modicum.storage.weights import save_network
from modicum.systems import SYSTEMS, get_system
from modicum.training import stages

PLACES = ("--data", "--detector", "--recipe", "--vectors", "--weights")
"""Options that may name something on the reader's disk."""
SMALL_SETS = {
    digits: ("DigitScenes", (100, 60, 60)),
    scenes: ("ProceduralScenes", (16, 8, 8)),
    facts: ("draw_lookup", (24, 8, 8)),
    marks: ("ScatteredMarks", (4, 3, 3)),
}
"""Where the embedded data are drawn, by a function of their sizes, and small ones."""
CIFAR_CLASSES = tuple(f"kind{number}" for number in range(10))
SMALL_PHOTOS = {"train": "moon.png", "calibration": "coins.png", "test": "microaneurysms.png"}


def options_of(command: str) -> Iterator[tuple[str, str]]:
    """The flags of a training, each with its value, which is empty where it has none."""
    words = [*shlex.split(command), "--"]
    for word, following in pairwise(words):
        if word.startswith("--"):
            yield word, "" if following.startswith("--") else following


def way_of(command: str) -> tuple[str, ...]:
    """What a training does, apart from how much of it and where to: commands that agree in this are one.

    Numbers say how much, and all but 0 the same; what "false" leaves out adds nothing to the way without it; of a
    place on the reader's disk, the kind of file matters.
    """
    way = [shlex.split(command)[1]]
    for name, value in sorted(options_of(command)):
        if name in PLACES and value not in recipe_names():
            way += [name, kind_of(value)]
        elif name == "--members" and way[0] == "cascade":
            way += [name, *(f"{member.library} {member.kind}" for member in members_of(command))]
        elif name not in ("--out", "--seed") and value != "false" and not is_amount(value):
            way += [name, value]
    return tuple(way)


def members_of(command: str) -> list[MemberName]:
    """The networks that a cascade is made of."""
    words = shlex.split(command)
    if words[1] != "cascade" or "--members" not in words:
        return []
    named = takewhile(lambda word: not word.startswith("--"), words[words.index("--members") + 1 :])
    return [parse_member(name) for name in named]


def is_amount(value: str) -> bool:
    """Whether a value is one number or a list of them, and not 0, which switches something off."""
    return re.fullmatch(r"\[?[\d.]+(,[\d.]+)*\]?", value) is not None and value.strip("0.") != ""


def kind_of(place: str) -> str:
    """The suffixes of a file; where there are none, CIFAR's folder or another."""
    suffixes = re.search(r"((\.[a-z]+)+)\]?$", place)
    return suffixes[1] if suffixes else "cifar" if "cifar" in place else "folder"


def one_of_each_way(commands: Iterable[str]) -> list[str]:
    """Of commands that are one, the one that leaves out least, and of those the longest."""
    most_last = sorted(set(commands), key=lambda command: (" false" not in command, len(command), command))
    return sorted({way_of(command): command for command in most_last}.values())


TRAININGS = one_of_each_way(line for _, line in ALL if line.startswith("train ") and "--resume" not in line)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Embedded data of a few samples, a batch per epoch, and recipes reduced as they are about to be followed.

    The pages of reports get no plots: tests of the reports draw them, and they take half of the time.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(stages, "Trainer", partial(Trainer, limit_train_batches=1, limit_val_batches=1))
    for module, (name, sizes) in SMALL_SETS.items():
        monkeypatch.setattr(module, name, partial(getattr(module, name), sizes=sizes))
    monkeypatch.setattr(caltech, "_read_archive", partial(write_small_photographs, caltech._read_archive))
    photos = {part: {"skimage.data": (name,)} for part, name in SMALL_PHOTOS.items()}
    monkeypatch.setattr(sources, "LIBRARY_PHOTOS", photos)
    monkeypatch.setattr(sources, "packaged_photograph", corner_of_photograph)
    monkeypatch.setattr(page, "embed_plot", lambda *_: EmbeddedPlot(Markup(), Markup()))
    train_recipe = verbs.train_recipe

    def train_reduced(system, recipe, out, *, resume):
        recipe = reduced(recipe, published_size=False)
        write_weights_of(recipe)
        return train_recipe(system, recipe, out, resume=resume)

    monkeypatch.setattr(verbs, "train_recipe", train_reduced)  # for the command line
    monkeypatch.setattr("modicum.verbs.training.train_recipe", train_reduced)


def corner_of_photograph(package: str, file: str, *, extra: str) -> bytes:
    """The first 64 x 64 px of a photograph, as a file: attention takes the square of their number."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(packaged_photograph(package, file, extra=extra))) as photograph:
        photograph.crop((0, 0, 64, 64)).save(stream, "PNG")
    return stream.getvalue()


def write_files(system, options: dict[str, str], classes: Sequence[str]) -> None:
    """What a command reads, under the names that it has for them; weights wait for the recipe."""
    if "--data" in options:
        write_data(system.wing, Path(options["--data"]), classes)
    if "--detector" in options:
        save_network(options["--detector"], LightFCOS(["ring", "cross"]))
    if "--vectors" in options:
        write_vectors(Path(options["--vectors"]))
    if options.get("--recipe", "").endswith(".yaml"):
        file = Path(options["--recipe"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(recipe_text(build_recipe(system.recipe, read_recipe(f"{system.id}-quick"))))


def write_members(members: Sequence[MemberName], data: str | None, num_classes: int) -> None:
    """Networks that a command cascades, under the names that it has for them: CIFAR's as published where they are."""
    for number, member in enumerate(members, start=1):
        place = Path(member.place)
        if member.kind == "run":
            verbs.train("drnet", recipe="drnet-quick", data=data, baselines=False, out=place)
        elif member.kind == "onnx":
            pytest.importorskip("onnx", reason="the export extra is not installed")
            write_graph(place, classes=len(CLASSES), width=number)
        else:
            write_network(member, num_classes)


def write_network(member: MemberName, num_classes: int) -> None:
    """Published weights if there are any under this name, else random ones."""
    published = Path(os.environ.get("MODICUM_DATA", "")) / "cifar10_resnets" / str(member.weights)
    if published.is_file():
        shutil.copy(published, str(member.weights))
    elif member.place.startswith("cifar"):
        write_weights(str(member.weights), member.place, num_classes)
    else:
        write_encoder(Path(str(member.weights)), member.place, num_classes)


def write_data(wing: str, place: Path, classes: Sequence[str]) -> None:
    """Data of a task in the form that the name of a place promises."""
    if wing == "graphs":
        write_table(place) if place.suffix == ".csv" else picture(0, (320, 256)).save(place)
    elif wing == "reading":
        write_questions(place if place.suffix else place / "train.json")
    elif wing == "saliency":
        write_masked(place, (80, 64))
    elif wing == "detect":
        write_marks(place, side=256, sizes=(4, 3, 3))
    else:
        write_cifar(place) if "cifar" in place.name else write_photos(place, (40, 32), classes)


def write_weights_of(recipe) -> None:
    """Weights of the recipe's networks where it says that they are."""
    weights = getattr(recipe, "weights", None)
    if isinstance(weights, tuple):  # empty where the members begin at random
        for file, name in zip(weights, recipe.members[: len(weights)], strict=True):
            write_start(file, name)
    elif weights is not None and hasattr(recipe, "backbone"):
        write_start(weights, recipe.backbone)
    elif weights is not None and hasattr(recipe.network, "encoder"):
        encoder = recipe.network.encoder
        if weights in LITE_NETWORKS:
            require_package(weights)
        else:
            write_encoder(timm_file(encoder) if weights == PUBLISHED else Path(weights), encoder)
    elif weights is not None:
        write_released_rnan(weights)


def write_start(weights: str, backbone: str) -> None:
    """What a backbone starts from: a file, or what a library published; packages are there or not."""
    if weights == PUBLISHED:
        write_published(backbone)
    elif weights in LITE_NETWORKS:
        require_package(weights)
    else:
        write_weights(weights, backbone, 10)


def require_package(weights: str) -> None:
    try:
        lite_file(weights)
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("command", TRAININGS)
def test_training_that_is_quoted_runs_to_its_end(command, small, monkeypatch):
    words = shlex.split(command)
    system, options = get_system(words[1]), dict(options_of(command))
    out = Path(options.get("--out", f"runs/{system.id}"))
    has_report = system.wing != "classify" or way_of(command) == (next(iter(SYSTEMS)),)  # the others are judged alike
    if not has_report:
        monkeypatch.setattr("modicum.verbs.training.write_report", lambda run: None)
        monkeypatch.setattr(verbs, "figures", lambda run: Report(system.id, "", "", ()))
    members = members_of(command)
    classes = CIFAR_CLASSES if any("cifar" in member.place for member in members) else CLASSES
    write_files(system, options, classes)
    write_members(members, options.get("--data"), len(classes))

    assert cli.main(words) == 0
    assert (out / "model.safetensors").stat().st_size > 0
    assert (out / "report.html").exists() == has_report
