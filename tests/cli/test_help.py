import os
import re
import subprocess
import sys

import pytest

from modicum.cli import main
from modicum.flags import parse_training, verb_parser
from modicum.systems import SYSTEMS


@pytest.fixture
def training_help(capsys):
    """What ``modicum train SYSTEM --help`` prints."""

    def read(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["train", *words])
        assert stop.value.code == 0
        return capsys.readouterr().out

    return read


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_help_of_training_begins_with_what_it_does_and_the_dozen_options_that_matter(system, training_help):
    text = training_help(system, "--help")
    first, *lines = text.splitlines()
    assert first == f"Trains {system}: {SYSTEMS[system].summary}."
    assert "usage:" not in text
    assert all(example in text for example in SYSTEMS[system].examples)
    assert 10 <= len(re.findall(r"^  --[a-z_.]+ ", text.split("all options")[0], re.MULTILINE)) <= 16
    assert f"all options: modicum train {system} --help all" in lines


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_whole_help_has_every_option_and_no_machine_made_text(system, training_help):
    text = training_help(system, "--help", "all")
    values = parse_training(verb_parser("train", ""), [system])
    assert all(f"  --{name}" in text for name in vars(values["recipe"]))
    assert not re.search(r"\{'|object at 0x|_typehint|%%", text)


def test_per_cent_signs_of_docstrings_are_per_cent_signs(training_help):
    text = " ".join(training_help("drnet", "--help", "all").split())
    assert "rises over the first 30 % and falls to 0" in text


def test_help_shows_the_defaults_of_the_recipe_that_is_chosen(training_help):
    text = " ".join(training_help("drnet", "--help", "--data", "photos").split())
    assert "default: photo_resnet" in text


def test_options_that_the_help_begins_with_are_in_it(training_help):
    for system in SYSTEMS.values():
        text = training_help(system.id, "--help")
        assert all(f"  --{name}" in text for name in system.options)


def test_positional_arguments_stand_in_the_order_of_the_function_whatever_the_hash_seed():
    texts = set()
    for seed in "0123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "modicum", "predict", "--help"]
        texts.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    (text,) = texts
    assert "run [inputs ...]" in text
