"""The docs say what the program does: every command in them is one that it accepts."""

import re
import shlex
from pathlib import Path

import pytest

from modicum.cli import EXAMPLES, OF_RUNS, VERBS
from modicum.flags import parse_training, parse_verb, verb_parser
from modicum.storage import RecipeError
from modicum.systems import SYSTEMS, WINGS, locate

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> list[str]:
    """The modicum commands in code blocks and code spans, without comments, pipes and placeholders."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)).splitlines()
    spans = re.findall(r"`(modicum [^`]+)`", text)
    lines = [line.split("#")[0].strip().split("modicum ")[-1] for line in [*blocks, *spans] if "modicum " in line]
    return [line for line in lines if line and not re.search(r"[A-Z]{3,}|\||\.\.\.|--help", line)]


ALL = [(page.name, command) for page in PAGES for command in commands(page.read_text())]
LINES = [line for lines in (*EXAMPLES.values(), *(system.examples for system in SYSTEMS.values())) for line in lines]
ALL += [("examples", line.split("modicum ")[-1].split("#")[0]) for line in LINES]


@pytest.mark.parametrize(("page", "command"), ALL)
def test_command_in_the_docs_is_accepted(page, command):
    verb, *words = shlex.split(command)
    words = [word for word in words if word not in ("--json", "--check")]
    parser = verb_parser(verb, "")
    if verb == "train":
        recipe = words[words.index("--recipe") + 1] if "--recipe" in words else None
        if recipe and recipe.endswith(".yaml"):  # a file of the reader's
            words[words.index(recipe)] = "drnet-quick"
        parse_training(parser, words)
    elif verb in OF_RUNS:  # the page's runs are not there to say which task they are of
        assert any(is_accepted(wing, verb, words) for wing in WINGS.values())
    else:
        parse_verb(parser, VERBS[verb], words)


def is_accepted(wing, verb, words):
    if verb not in wing.verbs:
        return False
    try:
        parse_verb(verb_parser(verb, ""), locate(f"{wing.module}:{verb}"), words)
    except RecipeError:
        return False
    return True


def test_every_page_has_commands_to_check():
    assert len(ALL) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
