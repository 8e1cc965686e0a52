"""Draws what each step saw of a picture that was classified, how sure it was, and the most probable classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from modicum.classify.exiting import ExitingClassifier
from modicum.classify.predictor import Prediction, Predictor
from modicum.imaging.pictures import read_pixels
from modicum.prediction import Failure
from modicum.reporting.plots import draw_explanation, write_figure
from modicum.storage.errors import DataError
from modicum.storage.names import printable

KIND = "explanation"


def files_of(place: Path) -> Mapping[str, Path]:
    """Returns the file to write for a picture, by kind, from its place in the output folder."""
    return {KIND: place.with_name(f"{place.stem}_{KIND}.png")}


def explain_all(
    answers: Iterator[Prediction | Failure], files: Sequence[Path], places: Sequence[Path], predictor: Predictor
) -> Iterator[Prediction | Failure]:
    """Writes an explanation of each answer, and yields the answers with their files; what cannot be written fails."""
    for answer, file, place in zip(answers, files, places, strict=True):
        if isinstance(answer, Failure):
            yield answer
            continue
        try:
            target = files_of(place)[KIND]
            seen = see_steps(answer, Image.fromarray(read_pixels(file)), predictor)
            title = f"{printable(file.name)}: {answer.label}, {answer.cost:.0%} of the plain cost"
            write_figure(target, draw_explanation(seen, answer.best, title=title))
            yield replace(answer, files={KIND: target})
        except DataError as error:
            yield Failure(answer.name, str(error), "not written")


def see_steps(answer: Prediction, picture: Image.Image, predictor: Predictor) -> list[tuple[str, Image.Image]]:
    """Returns what each step that ran is called, and the picture as it saw it; for other networks, the one route."""
    network, preprocessing = predictor.network, predictor.preprocessing
    pixels = preprocessing.eval_transform()(picture)
    whole = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    if not isinstance(network, ExitingClassifier):
        return [(answer.route, whole)]
    seen = []
    for (name, sure), size in zip(answer.steps, network.sizes_px, strict=False):
        seen.append((f"{name}: {sure:.0%} sure", whole.resize((size, size), Image.Resampling.BILINEAR)))
    return seen
