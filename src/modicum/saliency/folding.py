"""The network as it is deployed: normalisation folded into convolutions, recurrences unrolled, channels innermost."""

# B batch, C channels, H W pixels, T steps
import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from modicum.exporting.folding import ScaleShift, fold_batch_norms
from modicum.saliency.network import SaliencyNet
from modicum.saliency.recurrent import ConvNormRelu, RecurrentConv


class UnrolledRecurrentConv(nn.Module):
    """A `RecurrentConv` at rest: ``BN_t(a + W h) = s_t a + (s_t W) h + b_t``, with a folded kernel per step.

    Args:
        layer: With running statistics; it is not changed.
    """

    scales: Tensor  # (T + 1, C, 1, 1)
    shift: Tensor  # (C, 1, 1)

    def __init__(self, layer: RecurrentConv) -> None:
        super().__init__()
        norms = [ScaleShift(layer.norm(step)) for step in range(layer.steps + 1)]
        self.feed_forward = copy.deepcopy(layer.feed_forward)
        self.register_buffer("scales", torch.stack([norm.scale for norm in norms])[..., None, None])
        self.register_buffer("shift", norms[0].shift[:, None, None])
        self.steps = nn.ModuleList(
            fuse_conv_bn_eval(copy.deepcopy(layer.recurrent).eval(), copy.deepcopy(layer.norm(step)).eval())
            for step in range(1, layer.steps + 1)
            if layer.recurrent is not None
        )

    def forward(self, features: Tensor) -> Tensor:
        """Returns the last state (B, C, H, W), at least 0."""
        drive = self.feed_forward(features)
        state = torch.addcmul(self.shift, drive, self.scales[0]).relu_()
        for step, scale in zip(self.steps, self.scales[1:], strict=True):
            state = torch.addcmul(step(state), drive, scale).relu_()
        return state


def fold_saliency(network: SaliencyNet) -> SaliencyNet:
    """Returns a copy of ``network`` for inference on a CPU or GPU, equal to within 1e-4; it cannot be trained.

    Args:
        network: In any mode; it is not changed.
    """
    folded = copy.deepcopy(network).eval()
    folded.encoder = fold_batch_norms(folded.encoder)
    folded.shallow = nn.ModuleList(UnrolledRecurrentConv(layer) for layer in network.shallow)  # type: ignore[arg-type]  # built so
    for name, module in list(folded.named_modules()):
        if isinstance(module, ConvNormRelu):
            folded.set_submodule(name, fold_batch_norms(module))
    for parameter in folded.parameters():
        parameter.requires_grad_(False)
    return folded.to(memory_format=torch.channels_last)
