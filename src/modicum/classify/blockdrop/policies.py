"""The networks that decide, from the whole image, which blocks it needs (Wu et al., *BlockDrop*, 2018, section 3.2).

All decisions fall at once, before the backbone runs. The authors' code carries a value head beside the decisions, which
nothing trains or reads; it is left out here.
"""

# B batch, U droppable blocks, K classes, S side of the image in pixels
from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from modicum.classify.backbones import SmallResNet, cifar_resnet

PolicyName = Literal["resnet8", "resnet10", "small"]


def resnet8_policy(num_blocks: int) -> nn.Module:
    """Builds the published policy for CIFAR: one basic block each of 16, 32 and 64 channels, on the full image."""
    return cifar_resnet(num_blocks, 8, shortcut="pool")


def resnet10_policy(num_blocks: int) -> nn.Module:
    """Builds the published policy for ImageNet: image halved by averaging, basic blocks of 64 to 512 channels."""
    return nn.Sequential(nn.AvgPool2d(2), ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_blocks))


def small_policy(num_blocks: int, image_px: int) -> nn.Module:
    """Builds a policy of 4, 8 and 16 channels for backbones so small that the published ones would cost more.

    It sees images at half their size, except those below 16 pixels.
    """
    network = SmallResNet(num_blocks, widths=(4, 8, 16), shortcut="pool")
    return nn.Sequential(nn.AvgPool2d(2), network) if image_px >= 16 else network


def create_policy(name: PolicyName, num_blocks: int, image_px: int) -> nn.Module:
    """Builds a policy network by name: from images (B, 3, S, S), S = ``image_px``, to one logit per block (B, U).

    A block is kept where the sigmoid of its logit is at least a half. The last layer keeps torch's own initialisation,
    so an untrained policy is undecided.

    Raises:
        ValueError: If ``name`` is unknown.
    """
    if name == "resnet8":
        return resnet8_policy(num_blocks)
    if name == "resnet10":
        return resnet10_policy(num_blocks)
    if name == "small":
        return small_policy(num_blocks, image_px)
    raise ValueError(f"policy must be 'resnet8', 'resnet10', 'small' or a module, got {name!r}")


def start_from_resnet18(policy: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Gives a ``"resnet10"`` policy the stem and the first block of each stage of a trained ResNet-18.

    The published start of the policy for ImageNet; its last layer stays as it is.

    Args:
        policy: What `resnet10_policy` returned.
        state: The state of torchvision's ``resnet18``.

    Raises:
        ValueError: If ``policy`` is another network, or ``state`` lacks one of its tensors or has it in another shape.
    """
    if not (isinstance(policy, nn.Sequential) and isinstance(policy[-1], ResNet)):
        raise ValueError(f"policy must be a 'resnet10' policy, got a {type(policy).__name__}")
    wanted = {name: value for name, value in policy[-1].state_dict().items() if not name.startswith("fc.")}
    if missing := sorted(wanted.keys() - state.keys()):
        raise ValueError(f"state must be that of a ResNet-18, but it lacks {missing[0]} and {len(missing) - 1} more")
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"state must be that of a ResNet-18, but {name} has shape {tuple(state[name].shape)} and not "
                f"{tuple(value.shape)}"
            )
    policy[-1].load_state_dict({name: state[name] for name in wanted}, strict=False)
