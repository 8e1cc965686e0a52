"""Attention between many positions without the matrix of all pairs, normalised over the sources or over the outputs.

Softmax over the sources is what `torch.nn.functional.scaled_dot_product_attention` computes. Softmax over the outputs,
the rule of some published non-local networks, is computed here block by block: the weights of a block of sources need
no other source, so that the sum over blocks is exact and one pass suffices. The same result from two fused passes, by
the log-sum-exp of the first, is not offered: torch gives the log-sum-exp by public interfaces only in flex attention,
which must be compiled, and on a CPU two passes take longer than the blocks do.

Wang, Girshick, Gupta, He: *Non-local Neural Networks*, CVPR 2018, for the block around it.
"""
# B batch, N outputs (queries), M sources (keys), D features of queries and keys, V features of values, S sources of a
# block, C channels, H W pixels

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Normalize = Literal["sources", "outputs"]

_CPU_BLOCK = 2**18  # weights of a block; 1 MiB in fp32 stays in the cache: 2.2x faster than 2**22 at 128x128 positions
_GPU_BLOCK = 2**26  # 256 MiB in fp32, some thousand sources
_LEAST_SOURCES = 16  # of a block; fewer make thin matrix products
_EXPORTED_SOURCES = 1024  # of a block, where the loop is written out: 9 blocks at 96x96 positions


def attend(queries: Tensor, keys: Tensor, values: Tensor, *, scale: float, normalize: Normalize = "sources") -> Tensor:
    """Sums of values weighted by attention, in memory that grows with N + M, not with N M.

    The logits are ``scale * queries @ keys^T``; they are never rounded to half precision, under autocast neither.
    Differentiable once.

    Args:
        queries: Shape ``(B, N, D)``.
        keys: Shape ``(B, M, D)``.
        values: Shape ``(B, M, V)``.
        scale: Factor of the logits; 1 in the non-local networks, ``D ** -0.5`` in transformers.
        normalize: ``"sources"``: for each output, the weights of all sources sum to 1, as usual. ``"outputs"``: for
            each source, its weights in all outputs do.

    Returns:
        Shape ``(B, N, V)``, of the dtype of ``values``.

    Raises:
        ValueError: If the shapes do not match or the normalisation is unknown.

    Example:
        >>> queries, keys, values = torch.zeros(1, 4, 8), torch.zeros(1, 6, 8), torch.ones(1, 6, 3)
        >>> attend(queries, keys, values, scale=8**-0.5).shape
        torch.Size([1, 4, 3])
        >>> attend(queries, keys, values, scale=8**-0.5, normalize="outputs")[0, 0]  # 6 sources, a quarter of each
        tensor([1.5000, 1.5000, 1.5000])
    """
    _check(queries, keys, values, normalize)
    with _full_precision(queries.device.type):
        if normalize == "sources":
            result = _over_sources(_for_kernel(queries), _for_kernel(keys), _for_kernel(values), scale)
        else:
            result = _over_outputs(_widened(queries), _widened(keys), _widened(values), scale)
        return result.to(values.dtype)


def attend_explicitly(
    queries: Tensor, keys: Tensor, values: Tensor, *, scale: float, normalize: Normalize = "sources"
) -> Tensor:
    """Computes `attend` from the matrix of all N x M weights, as a reference for tests and benchmarks.

    Takes 8 N M bytes per sample in fp32, and 12 N M for its gradients.
    """
    _check(queries, keys, values, normalize)
    logits = scale * queries @ keys.mT
    return torch.softmax(logits, dim=2 if normalize == "sources" else 1) @ values


class NonLocalBlock(nn.Module):
    """Adds to every position what attention gathers from all positions (embedded Gaussian form, Wang et al., eq. 6).

    A fresh block changes nothing: its last projection starts at zero.

    Args:
        channels: Channels C of the features.
        inner_channels: Features of queries, keys and values; None means half of ``channels``.
        scale: Factor of the logits. The default 1 is that of the non-local networks.
        normalize: See `attend`.

    Raises:
        ValueError: If the normalisation is unknown.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner_channels: int | None = None,
        scale: float = 1.0,
        normalize: Normalize = "sources",
    ) -> None:
        super().__init__()
        check_normalize(normalize)
        inner = max(channels // 2, 1) if inner_channels is None else inner_channels
        self.scale, self.normalize = scale, normalize
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.projection = nn.Conv2d(inner, channels, 1)
        for start in self.projection.parameters():
            nn.init.zeros_(start)

    def forward(self, features: Tensor) -> Tensor:
        """Returns features (B, C, H, W) of features of the same shape."""
        queries, keys, values = (embed(features).flatten(2).mT for embed in (self.theta, self.phi, self.g))
        gathered = attend(queries, keys, values, scale=self.scale, normalize=self.normalize)
        gathered = gathered.mT.reshape(features.shape[0], -1, *features.shape[2:])  # (B, inner, H, W)
        projected: Tensor = self.projection(gathered)
        return features + projected

    def extra_repr(self) -> str:
        """Returns the scale and normalisation, for printing."""
        return f"scale={self.scale:g}, normalize={self.normalize!r}"


def check_normalize(normalize: str) -> None:
    """Refuses what is no normalisation of attention.

    Raises:
        ValueError: If it is neither ``"sources"`` nor ``"outputs"``.
    """
    if normalize not in get_args(Normalize):
        raise ValueError(f"normalize must be one of {str(get_args(Normalize))[1:-1]}, got {normalize!r}")


def _over_sources(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attends with softmax over the sources, by the fused kernel; on a CPU, it needs keys and values of equal width."""
    width = max(queries.shape[2], values.shape[2])
    query, key, value = (F.pad(part, (0, width - part.shape[2])).unsqueeze(1) for part in (queries, keys, values))
    return F.scaled_dot_product_attention(query, key, value, scale=scale).squeeze(1)[..., : values.shape[2]]


def _over_outputs(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attends with softmax over the outputs, differentiably if a gradient is required."""
    if torch.is_grad_enabled() and any(part.requires_grad for part in (queries, keys, values)):
        result: Tensor = _OverOutputs.apply(queries, keys, values, scale)
        return result
    return _sum_blocks(queries, keys, values, scale)


def _sum_blocks(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attends with softmax over the outputs, one block of images and sources at a time."""
    result = values.new_zeros(*queries.shape[:2], values.shape[2])
    for images, sources in _blocks(queries, keys):
        weights = _block_weights(queries[images], keys[images, sources], scale)
        result[images] += weights.mT @ values[images, sources]
    return result


def _block_weights(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Returns the weights (B, S, N) of a block of sources; outputs come last, where softmax is fastest."""
    return torch.softmax((scale * keys) @ queries.mT, dim=2)


def _blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yields the images and sources of each block: as many as the limit on a block's weights allows."""
    (batch, num_outputs, _), num_sources = queries.shape, keys.shape[1]
    fitting = _sources_per_block(queries.device.type, num_outputs, num_sources)
    num_images = max(fitting // max(num_sources, 1), 1)
    if torch.compiler.is_exporting():
        parts = [slice(None)]  # a loop over images would fix their number in the graph
    else:
        parts = [slice(first, first + num_images) for first in range(0, batch, num_images)]
    for images in parts:
        for source in range(0, num_sources, fitting):
            yield images, slice(source, source + fitting)


def _sources_per_block(device: str, num_outputs: int, num_sources: int) -> int:
    if device == "meta":
        return max(num_sources, 1)  # nothing is stored
    if torch.compiler.is_exporting():
        return _EXPORTED_SOURCES
    weights = _CPU_BLOCK if device == "cpu" else _GPU_BLOCK
    return max(weights // max(num_outputs, 1), _LEAST_SOURCES)


class _OverOutputs(torch.autograd.Function):
    """`_sum_blocks` whose weights are computed again for the gradients instead of kept."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:  # noqa: ANN401  of torch
        ctx.save_for_backward(queries, keys, values)
        ctx.scale = scale
        return _sum_blocks(queries, keys, values, scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401  of torch
        with _full_precision(gradient.device.type):  # the caller's autocast may be on
            queries, keys, values = ctx.saved_tensors
            return *_block_gradients(queries, keys, values, gradient, scale=ctx.scale), None


def _block_gradients(
    queries: Tensor, keys: Tensor, values: Tensor, gradient: Tensor, *, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    of_queries, of_keys, of_values = (torch.zeros_like(part) for part in (queries, keys, values))
    for images, sources in _blocks(queries, keys):
        block_keys, block_values = keys[images, sources], values[images, sources]
        weights = _block_weights(queries[images], block_keys, scale)  # (B, S, N)
        block_gradient = weights @ gradient[images]  # (B, S, V)
        of_values[images, sources] = block_gradient
        # Softmax: d_logit = weight * (d_weight - sum over outputs of weight * d_weight); the sum is value @ d_value.
        shift = (block_values * block_gradient).sum(dim=2, keepdim=True)
        of_logits = (block_values @ gradient[images].mT).sub_(shift).mul_(weights).mul_(scale)
        of_keys[images, sources] = of_logits @ queries[images]
        of_queries[images] += of_logits.mT @ block_keys
    return of_queries, of_keys, of_values


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Turns autocast off on devices that have it (``meta`` does not)."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _for_kernel(part: Tensor) -> Tensor:
    """As the fused kernel takes it: on a GPU in bfloat16 too, whose logits the kernel keeps in fp32."""
    return part.contiguous() if part.is_cuda and part.dtype == torch.bfloat16 else _widened(part)


def _widened(part: Tensor) -> Tensor:
    """Returns ``part`` in fp32 at least, with contiguous rows; float16 would overflow, bfloat16 round."""
    return (part.float() if part.dtype in (torch.float16, torch.bfloat16) else part).contiguous()


def _check(queries: Tensor, keys: Tensor, values: Tensor, normalize: str) -> None:
    check_normalize(normalize)
    fits = (
        queries.ndim == keys.ndim == values.ndim == 3
        and queries.shape[0] == keys.shape[0] == values.shape[0]  # not len(), which fixes the batch of an export
        and queries.shape[2] == keys.shape[2]
        and keys.shape[1] == values.shape[1]
    )
    if not fits:
        shapes = ", ".join(str(tuple(part.shape)) for part in (queries, keys, values))
        raise ValueError(f"queries, keys and values must be (B, N, D), (B, M, D) and (B, M, V), got {shapes}")
