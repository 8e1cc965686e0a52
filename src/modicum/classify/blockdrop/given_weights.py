"""Trained weights of a plain residual network for one whose blocks can be dropped."""

from collections.abc import Sequence
from pathlib import Path

from modicum.classify.backbones import SmallResNet, create_backbone
from modicum.classify.blockdrop.droppable import DroppableBlock
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.pretrained import load_cifar_weights, read_state
from modicum.storage.errors import WeightsError


def load_backbone_weights(network: BlockDrop, backbone: str, num_classes: int, weights: str | Path) -> None:
    """Fills the backbone of ``network`` with weights of the plain network of that name.

    Args:
        network: Built from ``backbone``.
        backbone: Name of the plain network.
        num_classes: Classes K.
        weights: A .safetensors file: a CIFAR ResNet in the usual layout for those defined here, else the state of the
            torchvision or timm network.

    Raises:
        WeightsError: If the file cannot be read, does not fit, or holds values that are not finite.
    """
    plain = create_backbone(backbone, num_classes)
    if isinstance(plain, SmallResNet):
        load_cifar_weights(plain, weights)
    else:
        try:
            plain.load_state_dict(read_state(weights))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise WeightsError(f"{weights} does not fit {backbone} with {num_classes} classes: {reason}") from error
    wrapped = [name for name, module in network.backbone.named_modules() if isinstance(module, DroppableBlock)]
    network.backbone.load_state_dict(
        {_inside_wrapper(name, wrapped): value for name, value in plain.state_dict().items()}
    )


def _inside_wrapper(name: str, wrapped: Sequence[str]) -> str:
    """Renames ``layers.0.0.conv1.weight`` to ``layers.0.0.block.conv1.weight`` if ``layers.0.0`` is droppable."""
    for block in wrapped:
        if name.startswith(f"{block}."):
            return f"{block}.block.{name.removeprefix(f'{block}.')}"
    return name
