"""Configuration of the documentation's build."""

import importlib.metadata

project = "modicum"
author = "the modicum authors"
release = importlib.metadata.version("modicum")
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "modicum"
exclude_patterns = ["_build"]
nitpicky = True
