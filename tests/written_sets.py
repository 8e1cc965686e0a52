"""Small sets of real files, as users would hold them, written from what is embedded."""

import json
from pathlib import Path

from PIL import Image

from modicum.detect.data.scenes import ScatteredMarks
from modicum.reading.data.lookup import draw_lookup
from modicum.reading.data.squad import write_squad
from modicum.restore.sources import clean_pixels, library_photos
from modicum.saliency.data.scenes import ProceduralScenes


def write_crops(folder: Path) -> Path:
    """Middles of the embedded photographs, in train, val and test."""
    for photo in library_photos().records:
        pixels = clean_pixels(photo)
        top, left = pixels.shape[0] // 2 - 32, pixels.shape[1] // 2 - 40
        place = folder / str(photo.split).replace("calibration", "val") / f"{Path(photo.id).stem}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[top : top + 64, left : left + 80]).save(place)
    return folder


def write_scenes(folder: Path, *, side: int, sizes: tuple[int, int, int]) -> Path:
    """Scenes with their masks, so many for train, val and test."""
    scenes = ProceduralScenes(side=side, sizes=sizes)
    for index, record in enumerate(scenes.records):
        pair = scenes.pair(index)
        for kind, pixels in (("images", pair.pixels), ("masks", pair.mask)):
            place = folder / record.split.replace("calibration", "val") / kind / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place)
    return folder


def write_lookup(folder: Path, *, sizes: tuple[int, int, int]) -> Path:
    """Passages of the look-up task with their questions, so many for train, dev and test."""
    for name, corpus in zip(("train", "dev", "test"), draw_lookup(sizes=sizes), strict=True):
        write_squad(folder / f"{name}.json", corpus)
    return folder


def write_marks(folder: Path, *, side: int, sizes: tuple[int, int, int]) -> Path:
    """Drawn marks in COCO's layout, so many pictures for train, val and test."""
    marks = ScatteredMarks(side, sizes=sizes)
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, name in (("train", "train"), ("calibration", "val"), ("test", "test")):
        (folder / name).mkdir(exist_ok=True)
        images, boxes = [], []
        for index, record in enumerate(marks.records):
            if record.split == part:
                Image.fromarray(marks.pixels(index)).save(folder / name / f"{index}.png", compress_level=1)
                images.append({"id": index, "file_name": f"{index}.png", "width": side, "height": side})
                objects = marks.sample(index).objects
                for (left, top, right, bottom), label in zip(
                    objects.boxes.tolist(), objects.labels.tolist(), strict=True
                ):
                    box = [left, top, right - left, bottom - top]
                    area = box[2] * box[3]
                    row = {"id": len(boxes) + 1, "image_id": index, "category_id": label + 1, "bbox": box}
                    boxes.append({**row, "area": area, "iscrowd": 0})
        classes = [{"id": number, "name": each} for number, each in enumerate(marks.classes, start=1)]
        content = {"images": images, "categories": classes, "annotations": boxes}
        (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return folder
