import pytest

from modicum.classify.cascade.member_names import parse_member
from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.flags import parse_training, verb_parser
from modicum.recipes import build_recipe, read_recipe
from modicum.storage.errors import RecipeError

TWO = ("cifar_resnet8=small.safetensors", "cifar_resnet20=large.safetensors")


@pytest.mark.parametrize(
    ("text", "kind", "place", "weights", "library", "size"),
    [
        ("timm:resnet18", "network", "resnet18", "published", "timm", None),
        ("timm:resnet18.a1_in1k@160", "network", "resnet18.a1_in1k", "published", "timm", 160),
        ("torchvision:resnet18=mine.pth", "network", "resnet18", "mine.pth", "torchvision", None),
        ("cifar_resnet20=a/b.safetensors@32", "network", "cifar_resnet20", "a/b.safetensors", None, 32),
        ("tf_efficientnet_lite0=lite0", "network", "tf_efficientnet_lite0", "lite0", None, None),
        ("models/small.onnx", "onnx", "models/small.onnx", None, None, None),
        ("runs/drnet", "run", "runs/drnet", None, None, None),
    ],
)
def test_member_is_named_by_library_file_or_run(text, kind, place, weights, library, size):
    found = parse_member(text)
    assert (found.kind, found.place, found.weights, found.library, found.size_px) == (
        kind,
        place,
        weights,
        library,
        size,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("resnet18", "is neither a file nor a run here; a member is a run folder, FILE.onnx, timm:NAME"),
        ("timm:=a.pth", "lacks a network"),
        ("cifar_resnet20=", "lacks a file"),
        ("resnet18=lite0", "weights lite0 belong to tf_efficientnet_lite0, but members is resnet18"),
        ("timm:resnet18@0", "asks for images of 0 px"),
    ],
)
def test_other_words_are_refused_with_what_a_member_may_be(text, told):
    with pytest.raises(RecipeError, match=told):
        parse_member(text)


def test_members_may_stand_apart_or_with_commas_on_the_command_line():
    for words in (["--members", *TWO], ["--members", ",".join(TWO)], [f"--members=[{','.join(TWO)}]"]):
        arguments = parse_training(verb_parser("train", ""), ["cascade", "--data", "photos/", *words])
        assert arguments["recipe"].members == TWO


@pytest.mark.parametrize("recipe", ["cascade-photographs", "cascade-photos"])
def test_members_go_with_the_recipes_that_a_user_has_not_named(recipe):
    options = {**read_recipe(recipe, CascadeRecipe), "members": list(TWO), "image_px": 32, "budget": 0.5}
    built = build_recipe(CascadeRecipe, options)
    assert built.members == TWO
    assert built.facts()["Candidates"] == ", ".join(TWO)


@pytest.mark.parametrize(("option", "value"), [("exits", 2), ("weights", None), ("trunk", "tuned"), ("sizes", (64,))])
def test_options_of_a_trunk_are_refused_beside_members(option, value):
    with pytest.raises(RecipeError, match=f"{option} does not apply with members: nothing is trained"):
        CascadeRecipe(members=TWO, **{option: value})


def test_one_member_or_the_same_twice_is_refused():
    with pytest.raises(RecipeError, match="members must be from 2 to 10 networks, got 1"):
        CascadeRecipe(members=TWO[:1])
    with pytest.raises(RecipeError, match="is named twice; one network at two sizes is NAME@PX"):
        CascadeRecipe(members=(TWO[0], TWO[0]))
