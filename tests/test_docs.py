"""The docs say what the program does: every command in them is one that it accepts."""

import re
import shlex

import pytest
from quoted_commands import ALL, PAGES

from modicum.cli import VERBS
from modicum.flags import parse_training, parse_verb, verb_parser
from modicum.storage import RecipeError
from modicum.systems import WINGS
from modicum.verbs import OF_RUNS


@pytest.mark.parametrize("command", dict.fromkeys(command for _, command in ALL))  # pages share many
def test_command_in_the_docs_is_accepted(command):
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
    options = wing.compare if verb == "compare" else getattr(wing.trained(None), verb)
    if options is None:
        return False
    try:
        parse_verb(verb_parser(verb, ""), VERBS[verb], words, options=options)
    except RecipeError:
        return False
    return True


def test_every_page_has_commands_to_check():
    assert len(ALL) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
