"""Reads what the weights of a classifier note of their training: classes, preprocessing, calibration."""

from pathlib import Path

from modicum.adaptive.calibration import Calibration
from modicum.classify.calibration_json import calibration_from_json
from modicum.classify.recipe import ImageOptions, default_crop
from modicum.datasets.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, default_resize_short
from modicum.storage.calibrations import kept_calibration, remedy_of
from modicum.storage.errors import WeightsError
from modicum.storage.header import read_header, read_note
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import parse_record

REFITTED_NOTE = "is_fitted_on_half"  # of weights: what training fits on the calibration part saw one half of it alone


def read_classes(weights: Path) -> list[str]:
    """Reads the names of the classes that weights tell apart; raises `WeightsError` if they do not name them."""
    names = read_header(weights).notes.get("classes")
    if not isinstance(names, list):
        raise WeightsError(f"{weights} does not name its classes: it was not written by a training; name a run")
    return [str(name) for name in names]


def read_preprocessing(weights: Path) -> Preprocessing | None:
    """Returns the preprocessing that weights were trained with; None if an older version did not note it."""
    return read_note(weights, "preprocessing", Preprocessing)


def preprocessing_of(options: ImageOptions, size: int) -> Preprocessing:
    """Returns the preprocessing, by a recipe's options, from a picture to a network's input of ``size`` pixels."""
    return Preprocessing(
        size=size,
        resize_short=options.resize_short or default_resize_short(size),
        mean=options.mean or IMAGENET_MEAN,
        std=options.std or IMAGENET_STD,
        interpolation=options.interpolation or "bilinear",
        flip=options.flip is not False,
        crop=options.crop or default_crop(size),
        min_scale=options.min_scale,
        trivial_augment=options.trivial_augment,
    )


def read_calibration(run: RunFolder) -> Calibration | None:
    """Reads the calibration in a run folder, if there is one.

    Raises:
        RunError: If the file does not match the calibration that the run's weights record.
        DataError: If the file is damaged.
    """
    content = kept_calibration(run)
    if content is None:
        return None
    return parse_record(calibration_from_json, {"content": content}, run.calibration, remedy=remedy_of(run))


def is_refitted(run: RunFolder) -> bool:
    """Tells whether a guarantee has had everything fitted anew that training fits on the calibration part."""
    return run.weights.exists() and read_header(run.weights).notes.get(REFITTED_NOTE) is True
