"""What a word becomes before words see each other: its fixed vector and its characters, joined, projected, gated.

Section 2.2.1 of the paper. What depends on the word alone is computed once per distinct word of a batch; so all of its
occurrences in a batch share one dropout mask in training.
"""
# V distinct words, W characters of a word, c character dimensions, p1 word and p2 character features, d width
# B pairs, L words of a passage or question

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.reading.qanet.options import DropoutOptions, EmbeddingOptions

CHARACTER_KERNEL = 5  # of the convolution over characters in all implementations
HIGHWAY_LAYERS = 2
CARRY_BIAS = -1.0  # of the gates at the start: 73 % of the input passes
CHARACTER_STD = 0.1
UNKNOWN = 1  # row of the vocabulary


class CharacterFeatures(nn.Module):
    """The maximum over a word's characters, after a convolution over five of them unless ``convolution`` is false.

    Args:
        num_characters: Rows of the table of characters; 0 is padding, 1 an unknown character.
        dim: c.
        features: p2.
        convolution: Without it, p2 = c.
        dropout: Of character vectors.
    """

    def __init__(self, num_characters: int, dim: int, *, features: int, convolution: bool, dropout: float) -> None:
        super().__init__()
        self.characters = nn.Embedding(num_characters, dim, padding_idx=0)
        nn.init.normal_(self.characters.weight, std=CHARACTER_STD)
        with torch.no_grad():
            self.characters.weight[0].zero_()
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv1d(dim, features, CHARACTER_KERNEL) if convolution else None
        if self.convolution is not None:
            nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")
            assert self.convolution.bias is not None  # of every convolution that is not told otherwise
            nn.init.zeros_(self.convolution.bias)

    def forward(self, characters: Tensor) -> Tensor:
        """Returns features (V, p2) of words (V, W).

        Raises:
            ValueError: If there is a convolution, and W is less than its kernel.
        """
        if self.convolution is not None and characters.shape[1] < CHARACTER_KERNEL:
            needed = f"words must be padded to {CHARACTER_KERNEL} characters or more"
            raise ValueError(f"{needed} for the convolution over them, got {characters.shape[1]}")
        vectors: Tensor = self.dropout(self.characters(characters))
        if self.convolution is None:
            return vectors.amax(dim=1)
        return F.relu(self.convolution(vectors.transpose(1, 2)).amax(dim=2))  # ReLU and maximum commute


class Highway(nn.Module):
    """``x + g * (H(x) - x)`` with the gate ``g = sigmoid(W_g x + b_g)``, twice.

    Args:
        width: Features of x.
        relu: Whether H ends in one.
        dropout: Of H(x).
    """

    def __init__(self, width: int, *, relu: bool, dropout: float) -> None:
        super().__init__()
        layers = range(HIGHWAY_LAYERS)
        self.transforms = nn.ModuleList(initialise(nn.Linear(width, width), relu=relu) for _ in layers)
        self.gates = nn.ModuleList(initialise(nn.Linear(width, width), bias=CARRY_BIAS) for _ in layers)
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the same shape, (..., d)."""
        for transform, gate in zip(self.transforms, self.gates, strict=True):
            x = x + torch.sigmoid(gate(x)) * (self.dropout(self.relu(transform(x))) - x)
        return x


class WordEmbedding(nn.Module):
    """A table of the batch's distinct words, and the sequences of its rows.

    Args:
        options: Sizes and choices.
        dropout: Shares left out in training.
        width: d.
        num_characters: Of the vocabulary, padding and unknown included.
        num_words: Of the vocabulary, to train a vector for each; None for fixed vectors and a trained one for all
            unknown words (paper, section 2.2.1).
    """

    def __init__(
        self,
        options: EmbeddingOptions,
        dropout: DropoutOptions,
        *,
        width: int,
        num_characters: int,
        num_words: int | None,
    ) -> None:
        super().__init__()
        p1, p2 = options.word_dim, options.character_features if options.character_dim else 0
        self.trained_words = None if num_words is None else nn.Embedding(num_words, p1, padding_idx=0)
        self.unknown = nn.Parameter(CHARACTER_STD * torch.randn(p1)) if num_words is None else None
        self.word_dropout = nn.Dropout(dropout.words)
        self.characters = (
            CharacterFeatures(
                num_characters,
                options.character_dim,
                features=p2,
                convolution=options.character_convolution,
                dropout=dropout.characters,
            )
            if options.character_dim
            else None
        )
        is_first = options.highway == "concatenated"
        self.projection = nn.Identity() if is_first else initialise(nn.Linear(p1 + p2, width))
        self.highway = Highway(p1 + p2 if is_first else width, relu=options.highway_relu, dropout=dropout.layers)
        ends = {"concatenated": p1 + p2, "between": width}
        last = ends.get(options.highway)
        self.last_projection = nn.Identity() if last is None else initialise(nn.Linear(last, width))
        self.match = nn.Parameter(torch.empty(width).uniform_(-1, 1)) if options.match_feature else None

    def table(self, words: Tensor, vectors: Tensor, characters: Tensor) -> Tensor:
        """Embeds words without context, (V, features); see `modicum.reading.inputs.Inputs` for the arguments."""
        if self.trained_words is not None:
            vectors = self.trained_words(words)
        elif self.unknown is not None:
            vectors = torch.where((words == UNKNOWN).unsqueeze(1), self.unknown, vectors)
        parts = [self.word_dropout(vectors)]
        if self.characters is not None:
            parts.append(self.characters(characters))
        table: Tensor = self.projection(torch.cat(parts, dim=1))
        return table if self.match is not None else self._gate(table)

    def forward(self, table: Tensor, rows: Tensor, match: Tensor | None) -> Tensor:
        """Returns embedded words (B, L, d).

        Args:
            table: The result of `table`.
            rows: (B, L) int64, rows of the table.
            match: (B, L), 1 where a passage's word occurs in its question; None for questions.
        """
        words = F.embedding(rows, table)
        if self.match is None:
            return words
        return self._gate(words if match is None else words + match.unsqueeze(-1) * self.match)

    def _gate(self, words: Tensor) -> Tensor:
        gated: Tensor = self.last_projection(self.highway(words))
        return gated


def initialise(layer: nn.Linear, *, relu: bool = False, bias: float = 0.0) -> nn.Linear:
    """Initialises the layer and returns it: He's weights before a ReLU, else Xavier's; all biases equal ``bias``."""
    if relu:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer
