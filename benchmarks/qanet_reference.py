"""The public QANet ports' forward pass, transcribed plainly: what modicum's network is compared with.

    python benchmarks/qanet_reference.py

As in those ports: channels first with a transposition around every layer normalisation, attention by explicit softmax
over all pairs of positions, the second hop through all pairs of passage words, characters read at every position, all
lengths fixed. Its tensors carry the ports' names, from which `modicum.reading.qanet.published` makes modicum's network.
Prints the largest difference between the logits of both, without padding, and how much faster modicum's network is at
full length and on batches of real lengths; the exit status is 1 where any is not as wanted, 0 else.
"""

# B pairs of passage and question, L passage words, M question words, W characters of a word, d width, h heads
import argparse
import math
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.measuring.timing import time_in_turn
from modicum.reading.qanet.bench import CHARACTERS, LIMITS, bucketed_batches, random_batch
from modicum.reading.qanet.published import convert_port

LARGEST_DIFFERENCE, LEAST_RATIO, LEAST_BUCKETING = 1e-5, 3.0, 2.0
WORD_DIM = 300
LARGE = 1e30


def main() -> int:
    """Compares both at the paper's sizes, as a Markdown table; 0 if as wanted, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batch", type=int, default=8, help="Pairs per call.")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads.")
    parser.add_argument("--rounds", type=int, default=5, help="Readings, in turn, of which the median counts.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reference = fixed_reference()
    network = convert_port(reference.state_dict()).network
    full = random_batch([LIMITS] * options.batch)
    buckets = bucketed_batches(options.batch)
    with torch.inference_mode():
        at_positions = spread(full.vectors, full.characters, full.passage, full.question)
        difference = largest_difference(network(*full), reference(*at_positions))
        seconds = time_in_turn(
            {
                "reference, 400/50": lambda: reference(*at_positions),
                "modicum, 400/50": lambda: network(*full),
                "modicum, buckets of real lengths": lambda: [network(*batch) for batch in buckets],
            },
            rounds=options.rounds,
        )
    plain, ours, real = seconds.values()
    real /= len(buckets)
    print(f"| batch {options.batch}, threads: {options.threads} | found | wanted |\n| --- | --- | --- |")
    print(f"| largest difference of a logit | {difference:.1e} | <= {LARGEST_DIFFERENCE:.0e} |")
    for name, value in zip(seconds, (plain, ours, real), strict=True):
        print(f"| {name}, ms per batch | {1000 * value:.0f} | |")
    print(f"| reference / modicum, 400/50 | {plain / ours:.2f} | >= {LEAST_RATIO} |")
    print(f"| 400/50 / buckets of real lengths | {ours / real:.2f} | >= {LEAST_BUCKETING} |")
    return 0 if meets(difference, plain / ours, ours / real) else 1


def meets(difference: float, ratio: float, bucketing: float) -> bool:
    """Whether the answers agree and the speed suffices; figures that are not numbers do neither."""
    return difference <= LARGEST_DIFFERENCE and ratio >= LEAST_RATIO and bucketing >= LEAST_BUCKETING


def fixed_reference() -> "PlainQANet":
    """The ports' network of the paper's width with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        reference = PlainQANet(word_dim=WORD_DIM, characters=CHARACTERS, char_dim=64, width=128, heads=8)
    return reference.eval()


def spread(vectors: Tensor, characters: Tensor, passage: Tensor, question: Tensor) -> tuple[Tensor, ...]:
    """Word vectors and characters at every position of passages and questions, as the ports read them."""
    return vectors[passage], characters[passage], passage != 0, vectors[question], characters[question], question != 0


def largest_difference(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> float:
    """Of two pairs of logits, relative to the largest logit where that exceeds 1."""
    pairs = zip(found, wanted, strict=True)
    return max(float((one - other).abs().max() / other.abs().max().clamp_min(1)) for one, other in pairs)


class PlainQANet(nn.Module):
    """The whole network over word vectors and characters at every position."""

    def __init__(
        self, *, word_dim: int, characters: int, char_dim: int, width: int, heads: int, blocks: int = 7
    ) -> None:
        super().__init__()
        self.word_emb = nn.Embedding(2, word_dim)  # the ports keep the frozen table here
        self.char_emb = nn.Embedding(characters, char_dim)
        self.emb = PlainEmbedding(word_dim, char_dim, width)
        self.emb_enc = PlainBlock(4, width, heads, 7)
        self.cq_att = PlainAttention(width)
        self.cq_resizer = Wrapped(4 * width, width)
        self.model_enc_blks = nn.ModuleList(PlainBlock(2, width, heads, 5) for _ in range(blocks))
        self.out = PlainPointer(width)

    def forward(
        self,
        words: Tensor,
        letters: Tensor,
        present: Tensor,
        asked: Tensor,
        asked_letters: Tensor,
        asked_present: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, L) of start and end, for vectors (B, L, p1), characters (B, L, W) and presence (B, L) of both."""
        passage = self.emb_enc(self.emb(self.char_emb(letters), words), present)
        question = self.emb_enc(self.emb(self.char_emb(asked_letters), asked), asked_present)
        x = self.cq_resizer(self.cq_att(passage, question, present, asked_present))
        passes = []
        for _ in range(3):
            for block in self.model_enc_blks:
                x = block(x, present)
            passes.append(x)
        return self.out(*passes, present)  # type: ignore[no-any-return]  # a module's call is untyped


class Wrapped(nn.Module):
    """A convolution over one position, without bias unless asked for."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.out = nn.Conv1d(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, L) to (B, outputs, L)."""
        return self.out(x)  # type: ignore[no-any-return]  # a module's call is untyped


class PlainEmbedding(nn.Module):
    """Characters by convolution and maximum, joined with the word, projected, two highway layers without ReLU."""

    def __init__(self, word_dim: int, char_dim: int, width: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(char_dim, width, (1, 5))
        self.conv1d = Wrapped(width + word_dim, width)
        self.high = nn.Module()
        self.high.linear = nn.ModuleList(Wrapped(width, width, bias=True) for _ in range(2))
        self.high.gate = nn.ModuleList(Wrapped(width, width, bias=True) for _ in range(2))

    def forward(self, letters: Tensor, words: Tensor) -> Tensor:
        """(B, d, L) of character vectors (B, L, W, c) and word vectors (B, L, p1)."""
        features = F.relu(self.conv2d(letters.permute(0, 3, 1, 2))).amax(3)
        x = self.conv1d(torch.cat([features, words.transpose(1, 2)], dim=1))
        for linear, gate in zip(self.high.linear, self.high.gate, strict=True):
            opened = torch.sigmoid(gate(x))
            x = opened * linear(x) + (1 - opened) * x
        return x


class PlainConvolution(nn.Module):
    """Depthwise, then pointwise, then ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.pointwise_conv = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, d, L) to that shape; reads padding as it is."""
        return F.relu(self.pointwise_conv(self.depthwise_conv(x)))


class PlainSelfAttention(nn.Module):
    """All pairs of positions, held; heads are joined without a projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mem_conv = Wrapped(width, 2 * width)
        self.query_conv = Wrapped(width, width)
        self.bias = nn.Parameter(torch.zeros(1))  # of the ports, without effect

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(B, d, L) to that shape."""
        keys, values = self.mem_conv(x).chunk(2, dim=1)
        parts = (self.query_conv(x), keys, values)
        q, k, v = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        weights = masked(scores, present[:, None, None, :]).softmax(dim=3)
        return (weights @ v).transpose(2, 3).flatten(1, 2)


class PlainBlock(nn.Module):
    """Positions, convolutions, self-attention, two linear layers; each after a normalisation, each added."""

    def __init__(self, convolutions: int, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(PlainConvolution(width, kernel) for _ in range(convolutions))
        self.self_att = PlainSelfAttention(width, heads)
        self.FFN_1 = Wrapped(width, width, bias=True)
        self.FFN_2 = Wrapped(width, width, bias=True)
        self.norm_C = nn.ModuleList(nn.LayerNorm(width) for _ in range(convolutions))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(B, d, L) to that shape."""
        x = x + positions(x.shape[2], x.shape[1]).T
        for norm, conv in zip(self.norm_C, self.convs, strict=True):
            x = x + conv(normed(norm, x))
        x = x + self.self_att(normed(self.norm_1, x), present)
        return x + self.FFN_2(F.relu(self.FFN_1(normed(self.norm_2, x))))  # type: ignore[no-any-return]  # untyped call


class PlainAttention(nn.Module):
    """Trilinear similarity in both directions; the second hop through all pairs of passage words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w4C = nn.Parameter(torch.randn(width, 1) / math.sqrt(width))
        self.w4Q = nn.Parameter(torch.randn(width, 1) / math.sqrt(width))
        self.w4mlu = nn.Parameter(torch.randn(1, 1, width) / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, passage: Tensor, question: Tensor, present: Tensor, asked: Tensor) -> Tensor:
        """(B, 4 d, L) of (B, d, L) and (B, d, M)."""
        c, q = passage.transpose(1, 2), question.transpose(1, 2)
        similarity = c @ self.w4C + (q @ self.w4Q).transpose(1, 2) + (c * self.w4mlu) @ q.transpose(1, 2) + self.bias
        rows = masked(similarity, asked.unsqueeze(1)).softmax(dim=2)
        columns = masked(similarity, present.unsqueeze(2)).softmax(dim=1)
        a, b = rows @ q, rows @ columns.transpose(1, 2) @ c
        return torch.cat([c, a, c * a, c * b], dim=2).transpose(1, 2)


class PlainPointer(nn.Module):
    """Start from the first two passes, end from the first and the third."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w2 = Wrapped(2 * width, 1), Wrapped(2 * width, 1)

    def forward(self, first: Tensor, second: Tensor, third: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, L) of start and end."""
        start = self.w1(torch.cat([first, second], dim=1)).squeeze(1)
        end = self.w2(torch.cat([first, third], dim=1)).squeeze(1)
        return masked(start, present), masked(end, present)


def positions(length: int, width: int) -> Tensor:
    """Signals (L, d)."""
    rates = torch.exp(torch.arange(width // 2) * -(math.log(1e4) / (width // 2 - 1)))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer normalisation over the channels of (B, d, L)."""
    return norm(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]  # a module's call is untyped


def masked(scores: Tensor, present: Tensor) -> Tensor:
    """Scores with a large negative number where nothing is."""
    return scores * present + (-LARGE) * (~present)


if __name__ == "__main__":
    sys.exit(main())
