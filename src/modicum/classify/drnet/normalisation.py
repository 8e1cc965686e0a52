"""Resolution-aware batch normalisation (Zhu et al., *Dynamic Resolution Network*, 2021, section 3.3).

Shrinking an image changes the statistics of every feature map, so each BatchNorm of the backbone exists once per
resolution, with its own affine parameters and running statistics; all other weights are shared.
"""

import copy
from contextlib import AbstractContextManager
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from modicum.adaptive.per_call import PerCall

ShortcutNorm = Literal["switched", "shared"]

SHORTCUT_NAMES = ("downsample", "shortcut")  # what torchvision and timm call the convolution beside a residual block


class ResolutionSwitch:
    """Which resolution a call runs at; one per network, read by all its normalisations, never kept beyond the call."""

    def __init__(self) -> None:
        self._index = PerCall(0)

    @property
    def index(self) -> int:
        """The resolution of the call under way in this thread; outside a call, that of the full image."""
        return self._index.value

    def at(self, index: int) -> AbstractContextManager[None]:
        """Runs the body at resolution ``index``, in this thread alone."""
        return self._index.holding(index)


class ResolutionNorm(nn.Module):
    """One copy of a batch normalisation per resolution; the switch says which is used."""

    def __init__(self, norm: BatchNorm, num_resolutions: int, switch: ResolutionSwitch) -> None:
        super().__init__()
        self.per_resolution = nn.ModuleList(copy.deepcopy(norm) for _ in range(num_resolutions))
        self.switch = switch

    def forward(self, x: Tensor) -> Tensor:
        """Returns normalised features of the shape of ``x``."""
        normalised: Tensor = self.per_resolution[self.switch.index](x)
        return normalised


def make_resolution_aware(
    backbone: nn.Module, num_resolutions: int, switch: ResolutionSwitch, *, shortcut_norm: ShortcutNorm = "switched"
) -> None:
    """Replaces, in place, every batch normalisation of ``backbone`` by one per resolution.

    Args:
        backbone: Any network; subclasses of BatchNorm, such as timm's with a built-in activation, keep their behaviour.
        num_resolutions: Copies of each normalisation; all start as the original.
        switch: What selects the copy.
        shortcut_norm: ``"shared"`` leaves the normalisation of down-sampling shortcuts as it is, one for all
            resolutions, which is how the published weights behave.
    """
    for name, module in list(backbone.named_modules()):
        if not isinstance(module, BatchNorm):
            continue
        on_shortcut = any(part in SHORTCUT_NAMES for part in name.split("."))
        if not (on_shortcut and shortcut_norm == "shared"):
            backbone.set_submodule(name, ResolutionNorm(module, num_resolutions, switch))


def without_switch(backbone: nn.Module, index: int) -> nn.Module:
    """Copies a resolution-aware backbone as a plain network that runs at resolution ``index`` only."""
    plain = copy.deepcopy(backbone)
    for name, module in list(plain.named_modules()):
        if isinstance(module, ResolutionNorm):
            plain.set_submodule(name, module.per_resolution[index])
    return plain
