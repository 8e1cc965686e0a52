"""The commands that users are shown: in the README, on the pages of the docs, and in the help."""

import re
from pathlib import Path

from modicum.cli import EXAMPLES
from modicum.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDER = r"\b[A-Z]{3,}\b(?!/)"  # RUN and FILE stand for something, DUTS/ is a folder


def commands(text: str) -> list[str]:
    """The modicum commands in code blocks and code spans, without comments, pipes and placeholders."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)).splitlines()
    spans = re.findall(r"`(modicum [^`]+)`", text)
    steps = [step for line in [*blocks, *spans] for step in line.split("#")[0].split("&&")]
    words = [step.split("modicum ")[-1].strip() for step in steps if "modicum " in step]
    return [line for line in words if line and not re.search(rf"{PLACEHOLDER}|\||\.\.\.|--help", line)]


LINES = [line for lines in (*EXAMPLES.values(), *(system.examples for system in SYSTEMS.values())) for line in lines]
ALL = [(page.name, command) for page in PAGES for command in commands(page.read_text())]
ALL += [("examples", line.split("modicum ")[-1].split("#")[0].strip()) for line in LINES]
"""Where each is shown, and its words after ``modicum``."""
