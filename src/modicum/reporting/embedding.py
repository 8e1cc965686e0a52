"""Plots and photographs as parts of one HTML file."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from modicum.reporting.plots.drawing import NARROW_IN, THEME, WIDE_IN, figure_to_svg

GALLERY_PX = 192  # twice the width that a gallery shows, for fine displays
_LOSSLESS_UP_TO_PX = 96  # below that, a PNG is hardly larger than a JPEG
_PIXELS_PER_POINT = 96 / 72


@dataclass(frozen=True)
class EmbeddedPlot:
    """A plot for a page, in two layouts.

    Attributes:
        wide: For a desk.
        narrow: For a telephone.
    """

    wide: Markup
    narrow: Markup


def embed_plot(draw: Callable[[float], Figure], name: str, description: str) -> EmbeddedPlot:
    """Embeds the plot that ``draw`` makes, at the wide and the narrow width.

    Args:
        draw: Called once per layout.
        name: Unique on the page.
        description: Alternative text for readers who cannot see the plot.
    """
    wide = embed_svg(figure_to_svg(draw(WIDE_IN)), f"{name}-wide", description)
    narrow = embed_svg(figure_to_svg(draw(NARROW_IN)), f"{name}-narrow", description)
    return EmbeddedPlot(wide, narrow)


def embed_svg(svg: str, name: str, description: str) -> Markup:
    """Converts an SVG document to an HTML element with unique ids and the fonts and colours of the page.

    Args:
        svg: As matplotlib writes it.
        name: Unique on the page; becomes part of every id.
        description: Alternative text for readers who cannot see the plot.
    """
    # Only matplotlib's own output is parsed here, so none of the dangers of foreign XML arise.
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in ("metadata", "style")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): _rewrite(key, value, name) for key, value in element.attrib.items()}
        if element.tag == "g":
            element.attrib.pop("id", None)  # names that nothing refers to
    width = float(root.attrib.pop("width").removesuffix("pt")) * _PIXELS_PER_POINT
    root.attrib.pop("height")
    root.attrib |= {"width": f"{width:.0f}", "role": "img", "aria-label": description}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def data_uri(image: Image.Image, largest_px: int = GALLERY_PX) -> str:
    """Returns the image, its longer side at most ``largest_px``, as the value of an ``src``."""
    picture = image.convert("RGB")
    picture.thumbnail((largest_px, largest_px))
    kind = "PNG" if max(picture.size) <= _LOSSLESS_UP_TO_PX else "JPEG"
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"optimize": True} if kind == "PNG" else {"quality": 85}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _local(name: str) -> str:
    """Returns a name without its namespace, implied in HTML: ``"{http://www.w3.org/2000/svg}path"`` is ``"path"``."""
    return name.rpartition("}")[2]


def _rewrite(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if _local(key) == "href":
        return value.replace("#", f"#{name}-", 1)
    if key == "clip-path":
        return value.replace("url(#", f"url(#{name}-", 1)
    if key == "style":
        value = re.sub(r"font-family: [^;]*(; |$)", "", value)
        return re.sub("#[0-9a-f]{6}", lambda match: _themed(match[0]), value)
    return value


def _themed(colour: str) -> str:
    return f"var(--{THEME[colour]})" if colour in THEME else colour
