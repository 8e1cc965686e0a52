"""How a QANet is built: its sizes, the choices where paper and ports differ, and three named sets of them. No torch.

A. W. Yu, D. Dohan, M.-T. Luong, R. Zhao, K. Chen, M. Norouzi, Q. V. Le, *QANet: Combining Local Convolution with Global
Self-Attention for Reading Comprehension*, ICLR 2018. Where the paper is silent, each field says what was chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

WORD_CHARACTERS = 16  # W: words are cut or padded to as many characters (paper, section 4.1.1)

HighwayPlace = Literal["projected", "concatenated", "between"]


def _require_positive(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(options, name)}")


@dataclass(frozen=True)
class EmbeddingOptions:
    """What a word becomes before words see each other.

    Attributes:
        word_dim: Dimensions of the fixed word vectors, p1.
        character_dim: Dimensions of a character; 0 leaves characters out.
        character_features: What a word's characters become, p2; ``character_dim`` without convolution.
        character_convolution: Convolution over five characters and ReLU before the maximum over positions. The paper's
            sentence names the maximum alone; all implementations convolve.
        highway: Where two highway layers stand: after the projection to the network's width ("projected", as in most
            public ports), before it on the joined word and characters ("concatenated", as in the paper, at 15 times
            the weights), or after it with one more linear layer behind ("between", as in AllenNLP).
        highway_relu: ReLU within the highway; some ports have none.
        match_feature: Learn also from whether a passage's word occurs in the question. Not in the paper; where data and
            time are short, worth more than anything else.
    """

    word_dim: int = 300
    character_dim: int = 200
    character_features: int = 200
    character_convolution: bool = True
    highway: HighwayPlace = "projected"
    highway_relu: bool = True
    match_feature: bool = False

    def __post_init__(self) -> None:
        _require_positive(self, "word_dim", "character_features" if self.character_dim else "word_dim")
        if self.character_dim < 0:
            raise ValueError(f"character_dim must be 0 or more, got {self.character_dim}")
        if self.character_dim and not self.character_convolution and self.character_features != self.character_dim:
            raise ValueError(
                f"without convolution a word has as many features as a character has dimensions, got "
                f"character_features={self.character_features} and character_dim={self.character_dim}: make them equal"
            )
        if self.highway not in get_args(HighwayPlace):
            raise ValueError(f"highway must be one of {', '.join(get_args(HighwayPlace))}, got {self.highway!r}")


@dataclass(frozen=True)
class EncoderOptions:
    """One stack of encoder blocks.

    Attributes:
        blocks: How many.
        convolutions: Depthwise separable convolutions in each.
        kernel: Words that a convolution sees, odd.
        self_attention: Whether each block attends to all words; without, as in an ablation of the paper, it sees only
            what its convolutions do.
    """

    blocks: int
    convolutions: int
    kernel: int
    self_attention: bool = True

    def __post_init__(self) -> None:
        _require_positive(self, "blocks", "kernel")
        if self.convolutions < 0:
            raise ValueError(f"convolutions must be 0 or more, got {self.convolutions}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that a word sees as far to either side, got {self.kernel}")


@dataclass(frozen=True)
class DropoutOptions:
    """Shares of what is left out in training, each in [0, 1).

    Attributes:
        words: Of word vectors, once per distinct word of a batch.
        characters: Of character vectors, likewise.
        layers: Between layers: before every second convolution, attention and feed-forward, in highways, before and
            after attention between passage and question, and before the third pass.
        sublayers: After every sublayer, before it is added.
        attention: Of attention weights. Above 0, attention on CPUs holds all pairs of positions.
        pointers: Of the features that start and end are read from.
        layer_dropout: Probability to skip the last sublayer of an encoder as a whole; the l-th of L is skipped with
            l / L of it (stochastic depth).
        rescale: Whether a sublayer that was kept is divided by its probability to be, so that evaluation needs no
            factor; the ports do not.
    """

    words: float = 0.1
    characters: float = 0.05
    layers: float = 0.1
    sublayers: float = 0.0
    attention: float = 0.0
    pointers: float = 0.0
    layer_dropout: float = 0.1
    rescale: bool = True

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "rescale" and not 0 <= value < 1:
                raise ValueError(f"{each.name} is a share left out and must be in [0, 1), got {value}")


@dataclass(frozen=True)
class NetworkOptions:
    """A whole QANet.

    Attributes:
        embedding: See `EmbeddingOptions`.
        embedding_encoder: Reads passage and question, with the same weights.
        model_encoder: Reads the passage after it has seen the question, in three passes with the same weights.
        dropout: See `DropoutOptions`.
        width: Features of a word throughout, even, a multiple of ``heads``.
        heads: Of self-attention.
        feed_forward: Inner width of the feed-forward sublayers.
        output_projection: A linear layer after the heads are joined (W^O); two ports have none.
        final_norm: Layer normalisation at the end of each encoder; the authors' later code has one, the paper has none.
        leading_pass: One more pass of the model encoder before the three that start and end are read from.
        no_answer: Questions may have no answer: a learned word before the passage stands for that (SQuAD 2.0).
    """

    embedding: EmbeddingOptions = EmbeddingOptions()
    embedding_encoder: EncoderOptions = EncoderOptions(blocks=1, convolutions=4, kernel=7)
    model_encoder: EncoderOptions = EncoderOptions(blocks=7, convolutions=2, kernel=5)
    dropout: DropoutOptions = DropoutOptions()
    width: int = 128
    heads: int = 8
    feed_forward: int = 128
    output_projection: bool = True
    final_norm: bool = False
    leading_pass: bool = False
    no_answer: bool = False

    def __post_init__(self) -> None:
        _require_positive(self, "width", "heads", "feed_forward")
        if self.width < 4 or self.width % 2 or self.width % self.heads:
            raise ValueError(
                f"width must be even, at least 4 and a multiple of heads, got {self.width} with {self.heads} heads"
            )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "NetworkOptions":
        """Rebuilds the options from the result of `dataclasses.asdict`."""
        return cls(
            **{
                **plain,
                "embedding": EmbeddingOptions(**plain["embedding"]),
                "embedding_encoder": EncoderOptions(**plain["embedding_encoder"]),
                "model_encoder": EncoderOptions(**plain["model_encoder"]),
                "dropout": DropoutOptions(**plain["dropout"]),
            }
        )


PRESETS: Mapping[str, NetworkOptions] = {
    "qanet": NetworkOptions(),
    # The authors' later variant for accelerators: no characters, one block that is applied four times.
    "qanet-small": NetworkOptions(
        embedding=EmbeddingOptions(character_dim=0),
        embedding_encoder=EncoderOptions(blocks=1, convolutions=4, kernel=7),
        model_encoder=EncoderOptions(blocks=1, convolutions=2, kernel=7),
        dropout=DropoutOptions(words=0.15, layers=0.0, sublayers=0.25, pointers=0.3, layer_dropout=0.0),
        heads=4,
        feed_forward=256,
        final_norm=True,
        leading_pass=True,
    ),
    # Learns from thousands of questions in minutes on a CPU; its blocks are too few to leave any out.
    "qanet-tiny": NetworkOptions(
        embedding=EmbeddingOptions(word_dim=64, character_dim=16, character_features=64, match_feature=True),
        model_encoder=EncoderOptions(blocks=1, convolutions=2, kernel=5),
        dropout=DropoutOptions(layer_dropout=0.0),
        width=64,
        heads=4,
        feed_forward=64,
    ),
}
