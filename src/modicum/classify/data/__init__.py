"""Labelled images: reading, checking, splitting, preprocessing and batching, and the embedded digits scenes."""

from modicum.classify.data.archives import TarImages
from modicum.classify.data.cifar import CifarImages
from modicum.classify.data.folders import ImageFolder, IndexFile
from modicum.classify.data.loading import Batch, Collate, ImageDataset, eval_loader, train_loader
from modicum.classify.data.opening import open_source
from modicum.classify.data.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageTransform,
    Preprocessing,
    default_resize_short,
)
from modicum.classify.data.scan import Scan, require_clean, scan
from modicum.classify.data.scenes import DigitScenes
from modicum.classify.data.sources import ImageSource, Record
from modicum.classify.data.splits import Part, Splits, make_splits
from modicum.classify.recipe import EMBEDDED

__all__ = [
    "EMBEDDED",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Batch",
    "CifarImages",
    "Collate",
    "DigitScenes",
    "ImageDataset",
    "ImageFolder",
    "ImageSource",
    "ImageTransform",
    "IndexFile",
    "Part",
    "Preprocessing",
    "Record",
    "Scan",
    "Splits",
    "TarImages",
    "default_resize_short",
    "eval_loader",
    "make_splits",
    "open_source",
    "require_clean",
    "scan",
    "train_loader",
]
