"""Finds objects in a user's files and writes what was found beside a drawing; with a run or without training.

Importing this module is instant.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.destinations import claim_file, gather_files, in_order, place_outputs, write_answer
from modicum.prediction import Failure

if TYPE_CHECKING:
    from modicum.detect.zoom.answers import Zoomed
    from modicum.detect.zoom.predictor import Predictor


def predict_files(
    predictor: "Predictor",
    inputs: Sequence[str | Path],
    *,
    out: str | Path,
    results: str | Path | None = None,
    knob: float | None = None,
    batch_size: int = 4,
    force: bool = False,
) -> "Iterator[Zoomed | Failure]":
    """Yields what is found in image files; writes a drawing and the detections of each, and all detections together.

    Args:
        predictor: What finds them.
        inputs: Image files, folders of images, or patterns.
        out: The folder for drawings and detections.
        results: Where the detections of all pictures go, in COCO's result format; None writes no such file.
        knob: The price; None is the predictor's own limit.
        batch_size: Pictures that are looked at together.
        force: Overwrite files that modicum did not write, or that were changed since.

    Raises:
        RecipeError: If two inputs would be written under the same name.
        OutputError: If a file stands where one would be written that must not be overwritten.
    """
    from modicum.detect.zoom.answers import Zoomed, dump_results, files_of
    from modicum.imaging.files import expand_inputs
    from modicum.storage.outputs import write_output

    found, inputs = gather_files(inputs, expand_inputs)
    files = [file for file in found if isinstance(file, Path)]
    places = place_outputs(inputs, files, out, lambda place, _: files_of(place).values(), force=force)
    if results is not None:
        claim_file(results, inputs=files, force=force)
    answers = zip(places, predictor.predict_all(files, knob=knob, batch_size=batch_size), strict=True)
    rows = list[dict[str, object]]()
    for answer in in_order(found, (write_answer(answer, place) for place, answer in answers)):
        if isinstance(answer, Zoomed):
            rows += answer.results()
        yield answer
    if results is not None:
        write_output(results, dump_results(rows))
