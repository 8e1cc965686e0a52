"""Inputs that suit any recipe, and recipes reduced to seconds; for tests that go through all of them."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from modicum.classify.backbones import create_backbone
from modicum.classify.ranet.structure import STRUCTURES
from modicum.nn.published import local_file
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.published import published_names

CLASSES = ("cat", "dog", "emu")
SMALL_SIDES = (64, 48, 32)
LIMITS = {
    "num_workers": 0,
    "rounds": 1,
    "restarts": 1,
    "seconds": 1.0,
    "per_epoch": 8,
    "least_per_epoch": 0,
    "max_points": 300,
    "side": 32,
    "validation_side": 32,
    "least_steps": 20,
    "updates": 20,
    "marks_px": 256,
}
SIDES = {"image_px": 64, "side": 16, "validation_side": 16, "features": 8}
SMALLEST = {
    r"(cifar_resnet)\d+(_pool)?": r"\g<1>20\g<2>",  # with 8 layers, a policy of 8 would cost as much as it can save
    r"(slim_resnet)\d+_pool": r"\g<1>20_pool",
    r"resnet\d+": "resnet18",
    r"mobilenetv3_\w+": "mobilenetv3_small_050",
}
"""Of each kind of backbone, the smallest that there is."""


def picture(seed: int, side: tuple[int, int] = (120, 90)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8))


def write_photos(folder: Path, side: tuple[int, int] = (120, 90), classes: Sequence[str] = CLASSES) -> Path:
    """Five photographs of each class, which restoration takes as they are."""
    for number in range(5 * len(classes)):
        file = folder / classes[number % len(classes)] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(number, side).save(file)
    return folder


def write_cifar(folder: Path) -> Path:
    """CIFAR-10 in its binary version, ten images in each of its files."""
    folder.mkdir(parents=True)
    for number, name in enumerate((*(f"data_batch_{part}" for part in range(1, 6)), "test_batch")):
        records = np.random.default_rng(number).integers(0, 256, (10, 1 + 3 * 32 * 32), dtype=np.uint8)
        records[:, 0] = np.arange(10)  # the class
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(f"kind{number}" for number in range(10)))
    return folder


def write_masked(folder: Path, side: tuple[int, int] = (120, 90)) -> Path:
    """Twelve photographs with masks of a square."""
    for number in range(12):
        mask = np.zeros(side, np.uint8)
        mask[20 + number : 60 + number, 30:60] = 255
        for kind, image in (("images", picture(number, side)), ("masks", Image.fromarray(mask))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image.save(folder / kind / f"{number}.png")
    return folder


def write_questions(file: Path) -> Path:
    """Twelve passages with a question each, in SQuAD's form: a JSON file, packed or not."""
    words = ["red", "green", "blue", "black", "white", "brown", "grey", "pink", "gold", "cyan", "teal", "lime"]
    articles = []
    for number, word in enumerate(words):
        context = f"Number {number} keeps the colour {word} in the box."
        answer = {"text": word, "answer_start": context.index(word)}
        question = {"id": str(number), "question": f"What colour does {number} keep?", "answers": [answer]}
        articles.append({"title": word, "paragraphs": [{"context": context, "qas": [question]}]})
    return _write_text(file, json.dumps({"version": "1.1", "data": articles}))


def write_vectors(file: Path) -> Path:
    """Vectors of three numbers for two words: text, packed or not."""
    return _write_text(file, "".join(f"{word} 0.1 {n}.5 -0.2\n" for n, word in enumerate(("red", "colour"))))


def _write_text(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{file.stem}.txt", text)
    else:
        file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def write_table(file: Path) -> Path:
    rows = [(x / 10, (x * 7 % 11) / 11) for x in range(60)]
    file.write_text("a,b,y\n" + "".join(f"{a},{b},{2 * a - b}\n" for a, b in rows))
    return file


def write_weights(file: Path | str, backbone: str, num_classes: int) -> Path:
    """A file of a network; CIFAR ResNets in the usual layout."""
    torch.manual_seed(0)
    state = create_backbone(backbone, num_classes).state_dict()
    renamed = {_usual(name): value.contiguous() for name, value in state.items()}
    (save_file if Path(file).suffix == ".safetensors" else torch.save)(renamed, file)
    return Path(file)


def write_released_rnan(file: Path | str) -> Path:
    """A small network in the layout of RNAN's authors."""
    network = RNAN(channels=1, features=4, local_groups=0, normalize="outputs")
    names = published_names(network)
    torch.save({names[ours]: value.detach() for ours, value in network.named_parameters()}, file)
    return file


def write_encoder(file: Path, name: str, num_classes: int = 1000) -> Path:
    """All tensors of a model of timm, in its own layout."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(timm.create_model(name, num_classes=num_classes).state_dict(), file)
    return file


def write_published(name: str) -> None:
    """Puts untrained weights where torchvision's published ones are kept once they are fetched."""
    file = local_file(Path(torchvision.models.get_model_weights(name)["DEFAULT"].url).name)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.get_model(name).state_dict(), file)


def write_small_photographs(read: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """The archive of the embedded photographs with three of each part and class for two classes."""
    archive = read()
    rows = list(csv.DictReader(io.StringIO(archive["index.csv"].decode())))
    chosen = sorted({row["label"] for row in rows})[:2]
    kept = [
        row
        for label in chosen
        for part in ("train", "calibration", "test")
        for row in [row for row in rows if (row["label"], row["split"]) == (label, part)][:3]
    ]
    lines = ["path,label,split", *(",".join(row[name] for name in ("path", "label", "split")) for row in kept)]
    return {**archive, "index.csv": "\n".join(lines).encode()}


def _usual(name: str) -> str:
    if not name.startswith("layers."):
        return name
    _, stage, rest = name.split(".", 2)
    return f"layer{int(stage) + 1}.{rest}"


def reduced(recipe: Any, *, published_size: bool) -> Any:
    """The recipe with batches of few samples, one epoch, no worker processes, and small patches and batches of pixels.

    Networks from image to image take any number of pixels.

    Args:
        recipe: Any recipe, or options within one.
        published_size: Leave backbones, channels and the sides of images as they are; else backbones are the smallest
            there are, and channels and sides few.
            Structures keep their blocks, but not the channels that give the published one 149 M parameters.
    """
    if hasattr(recipe, "sizes") and recipe.members:  # members of a cascade bring their sizes, and nothing is trained
        return replace(recipe, budget=1.0)  # those of tests cost the same
    changes = {}
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = reduced(value, published_size=published_size)
        elif (smaller := _reduced_value(field.name, value, published_size=published_size)) is not None:
            changes[field.name] = smaller
    return replace(recipe, **changes)


def _reduced_value(name: str, value: Any, *, published_size: bool) -> Any:
    if value is None or isinstance(value, bool):
        return None
    limits = LIMITS if published_size else LIMITS | SIDES
    if name in limits:
        return min(value, limits[name])
    if name == "batch_px":
        return tuple(32 if not published_size else min(side, 96) for side in value)
    if name == "structure" and value in STRUCTURES:
        plan = STRUCTURES[value]
        return replace(plan, base_channels=min(plan.base_channels, 16), growth=min(plan.growth, 8))
    if name.endswith("batch_size"):
        return min(value, 2)
    if name.endswith("epochs") and not name.startswith(("warmup", "step")):
        return min(value, 1)
    return None if published_size else _smallest_value(name, value)


def _smallest_value(name: str, value: Any) -> Any:
    if name == "resolutions":
        return SMALL_SIDES[: len(value)]
    return smallest(value) if name in ("backbone", "encoder") else None


def smallest(backbone: str) -> str:
    """The smallest backbone of the kind of another."""
    for kind, name in SMALLEST.items():
        if match := re.fullmatch(kind, backbone):
            return match.expand(name)
    return backbone
