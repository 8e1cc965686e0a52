"""Configuration of the documentation's build."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # docstring_names

project = "modicum"
author = "the modicum authors"
release = importlib.metadata.version("modicum")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "docstring_names",
]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "modicum"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
exclude_patterns = ["_build"]
nitpicky = True
# Names of other packages, of type variables and of types that are imported for checkers alone lead nowhere; what a
# docstring refers to in backticks has to exist.
nitpick_ignore_regex = [(r"py:(class|data|exc)", r".*")]
default_role = "py:obj"  # docstrings write `name` for a reference and ``text`` for text
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
