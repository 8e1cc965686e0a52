"""One pass over labelled images before training."""

from collections.abc import Callable
from functools import partial

from modicum.classify.data.sources import ImageSource
from modicum.datasets.scan import Scan, inspect_all, list_failures
from modicum.storage.errors import DataError


def scan(
    source: ImageSource, progress: Callable[[int, int], None] | None = None, *, keep_contradictions: bool = False
) -> Scan:
    """Decodes every image of a source once, in threads.

    Args:
        source: The images.
        progress: Called with the number of images done and their total after each image, in this thread.
        keep_contradictions: Also use copies of an image that stand in different classes.

    Raises:
        DataError: If a class has no image that can be decoded.
    """
    found = Scan.of(source, inspect_all(source, partial(_inspect, source), progress))
    present = {source.records[index].label for index in found.good}
    if missing := [name for label, name in enumerate(source.classes) if label not in present]:
        raise DataError(
            f"no image of the class(es) {', '.join(missing)} in {source.origin} can be decoded:\n"
            f"{list_failures(found.bad)}"
        )
    labels = [record.label for record in source.records]
    return found if keep_contradictions else found.without_contradictions(source, labels)


def _inspect(source: ImageSource, index: int) -> str:
    source.pixels(index)
    return source.digest(index)
