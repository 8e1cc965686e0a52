"""Divides images for a cascade of given networks: nothing is trained, so all that are not for the test calibrate.

Where a set has a training part, that part stays unused, because the networks may have been trained on it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from modicum.classify.cascade.member_sources import Found
from modicum.classify.data.sources import ImageSource
from modicum.classify.data.splits import make_splits, split_off_test
from modicum.classify.recipe import ImageOptions
from modicum.datasets.scan import Scan
from modicum.datasets.splits import Splits
from modicum.storage.errors import DataError, RecipeError

log = logging.getLogger(__name__)


def check_shares(source: ImageSource, options: ImageOptions) -> None:
    """Refuses a share of the images for calibration where there is nothing to share them with.

    Raises:
        RecipeError: If one is stated, and the images have no training part.
    """
    stated = options.calibration_share
    if not _has_training_part(source) and stated != ImageOptions().calibration_share:
        raise RecipeError(
            f"images.calibration_share does not apply with members, got {stated:g}: {source.origin} has no training "
            "part, so all images that are not for the test calibrate; leave it out, and state images.test_share"
        )


def divide_images(
    source: ImageSource,
    scan: Scan,
    digests: Mapping[str, str],
    members: Sequence[Found],
    options: ImageOptions,
    seed: int,
) -> Splits:
    """Divides images into two halves for calibration, the first of which stands for "train", and a test part.

    Args:
        source: The images.
        scan: Result of checking them.
        digests: Of each good image with its class, by id.
        members: The networks; images that one is known to be trained on do not calibrate.
        options: Share of the images that goes to the test, and to calibration where there is a training part.
        seed: Of the draw.

    Raises:
        DataError: If a member was trained on images of the test, or too few are left to calibrate.
    """
    if _has_training_part(source):
        splits = make_splits(source, scan, calibration=options.calibration_share, test=options.test_share, seed=seed)
        unused, why = len(splits.train), "of the training part, which members may have been trained on"
    else:
        whole, known = split_off_test(source, scan, test=options.test_share, seed=seed), _known(members)
        splits = replace(whole, calibration=tuple(name for name in whole.calibration if digests[name] not in known))
        unused, why = len(whole.calibration) - len(splits.calibration), "that members were trained on"
    refuse_trained_on(members, splits, digests)
    divided = halve(source, splits, digests, seed)
    log.info(
        "%s: %d images for temperatures, members and thresholds, %d for the knob, %d for the test%s",
        source.origin,
        len(divided.train),
        len(divided.calibration),
        len(divided.test),
        f"; unused: {unused} {why}" if unused else "",
    )
    return divided


def halve(source: ImageSource, splits: Splits, digests: Mapping[str, str], seed: int) -> Splits:
    """Divides the calibration part into halves of equal shares of each class, the first of which replaces "train".

    Copies stay together.

    Args:
        source: The images.
        splits: Their parts.
        digests: Of each image with its class, by id.
        seed: Of the division.

    Raises:
        DataError: If there are fewer than two different images to divide.
    """
    label_of = {record.id: record.label for record in source.records}
    labels = {digests[name]: label_of[name] for name in splits.calibration}
    if len(labels) < 2:
        raise DataError(
            f"{source.origin} has {len(labels)} calibration image(s) that no member is known to be trained on, but "
            "members need at least 2: one half each"
        )
    drawn = np.random.default_rng(seed).permutation(sorted(labels))
    dealt = sorted(drawn.tolist(), key=labels.__getitem__)  # class by class, so that none falls to one half alone
    first = set(dealt[::2])
    fitted = tuple(name for name in splits.calibration if digests[name] in first)
    rest = tuple(name for name in splits.calibration if digests[name] not in first)
    return Splits(fitted, rest, splits.test, splits.seed)


def refuse_trained_on(found: Sequence[Found], splits: Splits, digests: Mapping[str, str]) -> None:
    """Refuses members whose run says that they were trained on images that calibrate or test the cascade.

    Raises:
        DataError: If one was; the message says what to do.
    """
    for each in found:
        known = each.trained_on()
        for part, names in (("calibration", splits.calibration), ("test", splits.test)):
            if shared := sum(digests[name] in known for name in names):
                assert each.run is not None
                seed = Splits.load(each.run.splits).seed
                same = f"--seed {seed}" if seed is not None else "the run's seed"
                shares = "images.test_share" if part == "test" else "images.calibration_share and test_share"
                raise DataError(
                    f"{each.source} was trained on {shared} of the {len(names)} {part} images, so its answers to them "
                    f"are too good: divide the data as its run did ({same}, and the same {shares}), or use other images"
                )


def tell_unknown(found: Sequence[Found]) -> None:
    """Logs a warning that names the members whose training images are not known."""
    if unknown := [each.source for each in found if not each.trained_on()]:
        log.warning(
            "it is not known which images %s were trained on: if calibration images are among them, the thresholds are "
            "far too low, and if test images are, the accuracies are too high",
            ", ".join(unknown),
        )


def _has_training_part(source: ImageSource) -> bool:
    return any(record.split == "train" for record in source.records)


def _known(members: Sequence[Found]) -> frozenset[str]:
    """Returns the digests of all images that a member is known to be trained on."""
    return frozenset[str]().union(*(each.trained_on() for each in members))
