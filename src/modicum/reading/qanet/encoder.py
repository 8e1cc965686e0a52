"""The only building block of QANet: convolutions for what is near, self-attention for what is far, no recurrence.

Section 2.2.2 and figure 1 of the paper: ``x + positions``, then sublayers ``x + f(norm(x))``. Unlike all public ports,
padding is zero wherever a convolution reads it, so what else is in a batch changes no result. In training, a sublayer
that stochastic depth skips is not computed.
"""
# B sequences, L words, d width, h heads

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.reading.qanet.embedding import initialise
from modicum.reading.qanet.options import DropoutOptions, EncoderOptions

LONGEST_WAVE = 1e4


class Positions(nn.Module):
    """Sines, then cosines, of wave lengths from 2 pi to 2 pi 10,000 words (Vaswani et al., 2017, not interleaved).

    Args:
        width: d, even.
    """

    frequencies: Tensor  # (d / 2,)

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.arange(width // 2, dtype=torch.float64) / (width // 2 - 1)
        self.register_buffer("frequencies", torch.pow(LONGEST_WAVE, -steps).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns signals (L, d) for words (B, L, d)."""
        places = torch.arange(x.shape[1], device=x.device, dtype=torch.float32).unsqueeze(1)
        angles = places * self.frequencies.float()
        return torch.cat([angles.sin(), angles.cos()], dim=1).to(x.dtype)


class Convolution(nn.Module):
    """Depthwise separable convolution and ReLU: one kernel per feature without bias, then a linear layer.

    Args:
        width: d.
        kernel: Words it sees, odd.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.pointwise = initialise(nn.Linear(width, width), relu=True)
        nn.init.kaiming_normal_(self.depthwise.weight, nonlinearity="relu")

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Returns features of the same shape, (B, L, d); ``present`` is (B, L), false at padding."""
        x = x.masked_fill(~present.unsqueeze(2), 0.0)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return F.relu(self.pointwise(x))


class SelfAttention(nn.Module):
    """Scaled dot-product attention of h heads over the words that are present; never holds all pairs of them.

    Args:
        width: d.
        heads: h, a divisor of d.
        output_projection: A linear layer after the heads are joined.
        dropout: Of attention weights in training; above 0, CPUs do hold all pairs, (B, h, L, L).
    """

    def __init__(self, width: int, heads: int, *, output_projection: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.queries_keys_values = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.queries_keys_values.bias)
        for part in self.queries_keys_values.weight.data.chunk(3):
            nn.init.xavier_uniform_(part)
        self.output = initialise(nn.Linear(width, width)) if output_projection else nn.Identity()

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Returns features of the same shape, (B, L, d); ``present`` is (B, L), with one word or more in each row."""
        parts = self.queries_keys_values(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind(0)  # each (B, h, L, d / h)
        attended = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=present[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        gathered: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return gathered


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between, for each word by itself.

    Args:
        width: d.
        inner: Features between the layers.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = initialise(nn.Linear(width, inner), relu=True)
        self.outer = initialise(nn.Linear(inner, width))

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        """Returns features of the same shape, (B, L, d); which words are present does not matter here."""
        outer: Tensor = self.outer(F.relu(self.inner(x)))
        return outer


class Sublayer(nn.Module):
    """``x + f(norm(x))``, or x alone where stochastic depth skips f: one draw per sublayer, batch and pass.

    Args:
        operation: f, called with features and presence.
        width: d.
        skip: Probability to skip it in training.
        rescale: Divide what is kept by its probability to be.
        before: Dropout of what f reads.
        after: Dropout of what f gives.
    """

    def __init__(
        self, operation: nn.Module, width: int, *, skip: float, rescale: bool, before: float, after: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.operation = operation
        self.before, self.after = nn.Dropout(before), nn.Dropout(after)
        self.skip, self.rescale = skip, rescale

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Returns features of the same shape, (B, L, d); ``present`` is (B, L), false at padding."""
        if self.training and self.skip > 0 and float(torch.rand((), device="cpu")) < self.skip:
            return x
        change: Tensor = self.after(self.operation(self.before(self.norm(x)), present))
        if self.training and self.rescale:
            change = change / (1 - self.skip)
        return x + change


class Encoder(nn.Module):
    """A stack of blocks: convolutions, self-attention and a feed-forward sublayer each, after a signal of positions.

    Args:
        options: Blocks, what is in each, and the kernel of convolutions.
        dropout: Shares left out in training. The chance to be skipped grows over the whole stack.
        width: d.
        heads: Of self-attention.
        feed_forward: Inner width of the feed-forward sublayers.
        output_projection: See `SelfAttention`.
        final_norm: Layer normalisation of what the last block gives.
    """

    def __init__(
        self,
        options: EncoderOptions,
        dropout: DropoutOptions,
        *,
        width: int,
        heads: int,
        feed_forward: int,
        output_projection: bool,
        final_norm: bool,
    ) -> None:
        super().__init__()

        def operations() -> Iterator[nn.Module]:
            for _ in range(options.convolutions):
                yield Convolution(width, options.kernel)
            if options.self_attention:
                yield SelfAttention(width, heads, output_projection=output_projection, dropout=dropout.attention)
            yield FeedForward(width, feed_forward)

        depth = options.convolutions + options.self_attention + 1

        def block(number: int) -> nn.ModuleList:
            return nn.ModuleList(
                Sublayer(
                    operation,
                    width,
                    skip=dropout.layer_dropout * (number * depth + place + 1) / (options.blocks * depth),
                    rescale=dropout.rescale,
                    before=0.0 if place < options.convolutions and place % 2 else dropout.layers,
                    after=dropout.sublayers,
                )
                for place, operation in enumerate(operations())
            )

        self.positions = Positions(width)
        self.blocks = nn.ModuleList(block(number) for number in range(options.blocks))
        self.final_norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Returns words (B, L, d) with their context; ``present`` is (B, L), false at padding."""
        signal = self.positions(x)
        for block in self.blocks:
            x = x + signal
            for sublayer in block:  # type: ignore[attr-defined]  # blocks are lists of sublayers
                x = sublayer(x, present)
        normed: Tensor = self.final_norm(x)
        return normed
