"""Every named recipe can be followed: its data become batches, its network is built, and one step trains it."""

from dataclasses import replace
from functools import partial

import pytest
from lightning.pytorch import Trainer
from recipe_inputs import picture, reduced, write_masked, write_photos, write_questions, write_table, write_weights
from written_sets import write_marks

from modicum.recipes import build_recipe, read_recipe, recipe_names
from modicum.storage.runs import RunFolder
from modicum.systems import SYSTEMS, AnySystem, get_system
from modicum.training import stages


class OneStepError(Exception):
    """Ends a training after its first stage."""


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Function from a system and its recipe to a path of data that suit it."""
    root = tmp_path_factory.mktemp("inputs")
    photos = write_photos(root / "photos")
    picture(0, (700, 500)).save(root / "large.png")
    by_wing = {
        "classify": photos,
        "restore": photos,
        "saliency": write_masked(root / "masked"),
        "reading": write_questions(root / "squad" / "train.json").parent,
        "graphs": write_table(root / "table.csv"),
        "detect": write_marks(root / "marks", side=256, sizes=(6, 4, 4)),
    }

    def choose(system: AnySystem, recipe) -> str:
        is_picture = system.wing == "graphs" and recipe.problem in ("image-function", "next-pixel")
        return str(root / "large.png" if is_picture else by_wing[system.wing])

    return choose


@pytest.fixture
def first_step_only(monkeypatch):
    """Lets each stage run one real step, with its optimiser and its schedule, and ends the training after the first."""
    monkeypatch.setattr(stages, "Trainer", partial(Trainer, fast_dev_run=1))
    original = stages.fit_stage

    def fit_stage(stage, *args, **options):
        original(replace(stage, epochs=1, ends_with="last"), *args, **options)
        raise OneStepError

    monkeypatch.setattr("modicum.training.fitting.fit_stage", fit_stage)


def system_of(name: str) -> AnySystem:
    return get_system(max((system for system in SYSTEMS if name.startswith(f"{system}-")), key=len))


@pytest.mark.parametrize("name", recipe_names())
def test_named_recipe_trains_one_step_on_data_of_its_kind(name, inputs, first_step_only, no_hub, tmp_path):
    system = system_of(name)
    options = read_recipe(name)
    recipe = build_recipe(system.recipe, options)
    recipe = build_recipe(system.recipe, {**options, "data": inputs(system, recipe)})
    if getattr(recipe, "base_epochs", 1) == 0:  # it adapts a network that is given
        recipe = replace(recipe, weights=str(write_weights(tmp_path / "given.safetensors", recipe.backbone, 3)))
    if system.id == "static" and recipe.epochs == 0:
        recipe = replace(recipe, epochs=1)
    recipe = reduced(recipe, published_size=True)
    run = RunFolder.create(tmp_path / "run", system=system.id, recipe_text="", command="", versions={})
    if system.wing == "graphs":
        assert system.fit()(replace(recipe, baselines=False), run) is not None
        return
    if system.id == "cascade":  # a frozen trunk has no steps
        assert system.fit()(recipe, run) is not None
        return
    with pytest.raises(OneStepError):
        system.fit()(recipe, run)
