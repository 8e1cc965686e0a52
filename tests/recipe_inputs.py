"""Inputs that suit any recipe, and recipes reduced to seconds; for tests that go through all of them."""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from modicum.classify.backbones import create_backbone

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
}
SIDES = {"image_px": 64, "side": 16, "validation_side": 16}


def picture(seed: int, side: tuple[int, int] = (120, 90)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8))


def write_photos(folder: Path) -> Path:
    """Three classes of five photographs, which restoration takes as they are."""
    for number in range(15):
        file = folder / CLASSES[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(file)
    return folder


def write_masked(folder: Path) -> Path:
    """Twelve photographs with masks of a square."""
    for number in range(12):
        mask = np.zeros((120, 90), np.uint8)
        mask[20 + number : 60 + number, 30:70] = 255
        for kind, image in (("images", picture(number)), ("masks", Image.fromarray(mask))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image.save(folder / kind / f"{number}.png")
    return folder


def write_questions(folder: Path) -> Path:
    """Twelve passages with a question each, in SQuAD's form."""
    words = ["red", "green", "blue", "black", "white", "brown", "grey", "pink", "gold", "cyan", "teal", "lime"]
    articles = []
    for number, word in enumerate(words):
        context = f"Number {number} keeps the colour {word} in the box."
        answer = {"text": word, "answer_start": context.index(word)}
        question = {"id": str(number), "question": f"What colour does {number} keep?", "answers": [answer]}
        articles.append({"title": word, "paragraphs": [{"context": context, "qas": [question]}]})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    return folder


def write_table(file: Path) -> Path:
    rows = [(x / 10, (x * 7 % 11) / 11) for x in range(60)]
    file.write_text("a,b,y\n" + "".join(f"{a},{b},{2 * a - b}\n" for a, b in rows))
    return file


def write_weights(file: Path, backbone: str, num_classes: int) -> Path:
    """A file of a network in the usual layout of CIFAR ResNets."""
    torch.manual_seed(0)
    state = create_backbone(backbone, num_classes).state_dict()
    renamed = {_usual(name): value.contiguous() for name, value in state.items()}
    save_file(renamed, file)
    return file


def _usual(name: str) -> str:
    if not name.startswith("layers."):
        return name
    _, stage, rest = name.split(".", 2)
    return f"layer{int(stage) + 1}.{rest}"


def reduced(recipe: Any, *, published_size: bool) -> Any:
    """The recipe with batches of few samples, one epoch, and no worker processes; its network stays as it is.

    Args:
        recipe: Any recipe, or options within one.
        published_size: Leave the sides of pictures, too.
    """
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
    if name in LIMITS or (not published_size and name in SIDES):
        return min(value, (LIMITS | SIDES)[name])
    if name.endswith("batch_size"):
        return min(value, 2)
    if name.endswith("epochs") and not name.startswith(("warmup", "step")):
        return min(value, 1)
    return SMALL_SIDES[: len(value)] if not published_size and name == "resolutions" else None
