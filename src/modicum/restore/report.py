"""The report on a restoration network: decibels beside the baselines', each image, pictures, and what tiles change."""

import math

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from modicum.reporting.plots.drawing import BLUE, MUTED, STYLE, is_narrow, new_figure
from modicum.reporting.report import Note, Picture, Plot, Report, Row, Section, Strip, Table
from modicum.restore.inference import FEATHER
from modicum.restore.results import Evaluation, Example, ImageScore, Method
from modicum.storage.counting import counted
from modicum.storage.values import finite

_LISTED = 24  # images with a row of their own


def evaluation_report(evaluation: Evaluation) -> Report:
    """Reports on a restoration run: decibels beside the baselines', each image, pictures, and the effect of tiles."""
    sections = [_methods(evaluation), _gains(evaluation.images)]
    if evaluation.examples:
        note = "The part of each image with the most detail; images from the greatest gain to the least."
        sections.append(Section("Pictures", (Note(note), *map(_strip, evaluation.examples))))
    if evaluation.tiles:
        sections.append(_tiles(evaluation))
    return Report(
        evaluation.system,
        _headline(evaluation),
        _data_line(evaluation),
        tuple(sections),
        {name: finite(value) for name, value in evaluation.to_json().items()},
    )


def _headline(evaluation: Evaluation) -> str:
    network, *others = evaluation.methods
    baselines = [method for method in others if not method.name.startswith("network")]
    text = f"{evaluation.task}: {network.scores.psnr:.2f} dB on {counted(len(evaluation.images), 'test image')}"
    if not baselines:
        return f"{text}."
    best = max(baselines, key=lambda method: method.scores.psnr)
    gain = network.scores.psnr - best.scores.psnr
    return f"{text}, {abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} the best of the others, {best.name}."


def _data_line(evaluation: Evaluation) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in evaluation.num_images.items())
    return f"{evaluation.task}; {evaluation.data}: {counts}; compared {evaluation.metric}"


def _methods(evaluation: Evaluation) -> Section:
    rows = tuple(_method_row(method, is_ours=place == 0) for place, method in enumerate(evaluation.methods))
    notes = [
        f"Means over images. The network ran in tiles of {evaluation.tile} px, of which {evaluation.halo} px at each "
        "inner side are thrown away; multiply-adds are those of its convolutions, per pixel of the result. Times are "
        "of one run each on this machine, beside whatever else it did.",
        *(f"{method.name}: {method.note}." for method in evaluation.methods if method.note),
        *evaluation.missing,
    ]
    columns = ("method", "PSNR, dB", "SSIM", "parameters", "K MAC/pixel", "s/megapixel")
    return Section("Restored test images", (Table(columns, rows, " ".join(notes)),))


def _method_row(method: Method, *, is_ours: bool) -> Row:
    cells = (
        method.name,
        f"{method.scores.psnr:.2f}",
        f"{method.scores.ssim:.4f}",
        f"{method.parameters:,}" if method.parameters is not None else "",
        f"{method.macs_per_pixel / 1e3:,.1f}" if method.macs_per_pixel is not None else "",
        f"{method.seconds_per_megapixel:.1f}" if method.seconds_per_megapixel is not None else "",
    )
    return Row(cells, is_ours=is_ours)


def _gains(images: tuple[ImageScore, ...]) -> Section:
    caption = "PSNR of each test image before and after; images in the order of the input's."
    rows = (
        Row((image.name, f"{image.degraded.psnr:.2f}", f"{image.network.psnr:.2f}", _signed(_gain(image))))
        for image in (images if len(images) <= _LISTED else ())
    )
    return Section(
        "Image by image",
        (
            Plot(lambda width: _draw_gains(images, width), caption),
            Table(("image", "input, dB", "network, dB", "gain, dB"), tuple(rows)),
        ),
    )


def _draw_gains(images: tuple[ImageScore, ...], width_in: float) -> Figure:
    with mpl.rc_context(STYLE):
        figure = new_figure(width_in, 2.6 if is_narrow(width_in) else 2.9)
        axes = figure.subplots()
        ordered = sorted(images, key=lambda image: image.degraded.psnr)
        places = range(len(ordered))
        before = [image.degraded.psnr for image in ordered]
        after = [image.network.psnr for image in ordered]
        axes.vlines(places, before, after, color=MUTED, linewidth=0.8)
        axes.plot(places, before, "o", color=MUTED, markersize=4, label="input")
        axes.plot(places, after, "o", color=BLUE, markersize=4, label="network")
        axes.set(xlabel="test image", ylabel="PSNR, dB", xticks=[])
        axes.legend(loc="best")
        return figure


def _gain(image: ImageScore) -> float:
    return image.network.psnr - image.degraded.psnr


def _strip(example: Example) -> Strip:
    score = example.score
    return Strip(
        example.name,
        (
            Picture(Image.fromarray(example.degraded), f"input: {score.degraded.psnr:.2f} dB"),
            Picture(Image.fromarray(example.restored), f"network: {score.network.psnr:.2f} dB"),
            Picture(Image.fromarray(example.target), "true"),
        ),
    )


def _tiles(evaluation: Evaluation) -> Section:
    rows = tuple(
        Row(
            (
                f"{row.tile} px",
                f"{row.halo} px",
                f"{row.feather} px",
                f"{row.psnr_db:.1f}" if math.isfinite(row.psnr_db) else "equal",
                f"{row.max_difference:.1f}",
                _signed(row.psnr_change_db, 3),
                f"{row.work_factor:.2f}",
            ),
            is_ours=(row.tile, row.halo, row.feather) == (evaluation.tile, evaluation.halo, FEATHER),
        )
        for row in evaluation.tiles
    )
    columns = ("tile", "halo", "feather", "against whole, dB", "largest difference", "against truth, dB", "work")
    note = (
        "A part of the first test image restored in tiles, compared with restoring it at once: PSNR between the two, "
        "their largest difference in grey levels, the change of the PSNR against the true image, and the pixels "
        "computed over those of the part."
    )
    return Section("What tiles change", (Table(columns, rows, note),))


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}" if math.isfinite(value) else ""
