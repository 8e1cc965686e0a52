"""QANet: reads a passage and a question without recurrence and scores each word as start and end of the answer.

A. W. Yu, D. Dohan, M.-T. Luong, R. Zhao, K. Chen, M. Norouzi, Q. V. Le, *QANet: Combining Local Convolution with Global
Self-Attention for Reading Comprehension*, ICLR 2018. Choices where the paper is silent are options, see
`modicum.reading.qanet.options`. Deviations from all public ports: padding changes no result, attention never holds all
pairs of passage words, words are embedded once per batch, and skipped sublayers are not computed. From the paper: where
it multiplies nothing, sublayers that stochastic depth kept are divided by their probability to be, in training.
"""
# B pairs of passage and question, L passage words, M question words, V distinct words, d width

from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from modicum.reading.inputs import MASKED, Inputs, Logits
from modicum.reading.qanet.attention import ContextQueryAttention, Encoded
from modicum.reading.qanet.embedding import WordEmbedding, initialise
from modicum.reading.qanet.encoder import Encoder
from modicum.reading.qanet.options import PRESETS, EncoderOptions, NetworkOptions


class QANet(nn.Module):
    """The whole network.

    Args:
        options: How it is built.
        num_characters: Characters of the vocabulary, padding and unknown included.
        num_words: Words of the vocabulary, to train a vector for each; None reads the vectors of the batch.
    """

    storage_name: ClassVar[str] = "qanet"

    def __init__(self, options: NetworkOptions, *, num_characters: int, num_words: int | None = None) -> None:
        super().__init__()
        self.options, self.num_characters, self.num_words = options, num_characters, num_words
        width, dropout = options.width, options.dropout

        def encoder(structure: EncoderOptions) -> Encoder:
            return Encoder(
                structure,
                dropout,
                width=width,
                heads=options.heads,
                feed_forward=options.feed_forward,
                output_projection=options.output_projection,
                final_norm=options.final_norm,
            )

        self.embedding = WordEmbedding(
            options.embedding, dropout, width=width, num_characters=num_characters, num_words=num_words
        )
        self.no_answer = nn.Parameter(torch.randn(width)) if options.no_answer else None
        self.embedding_encoder = encoder(options.embedding_encoder)
        self.attention = ContextQueryAttention(width, dropout=dropout.layers)
        self.resize = initialise(nn.Linear(4 * width, width))
        self.model_encoder = encoder(options.model_encoder)
        self.start = initialise(nn.Linear(2 * width, 1))
        self.end = initialise(nn.Linear(2 * width, 1))
        self.between = nn.Dropout(dropout.layers)
        self.pointer_dropout = nn.Dropout(dropout.pointers)

    @property
    def has_no_answer(self) -> bool:
        """Whether the first logit is that of "no answer"."""
        return self.no_answer is not None

    def forward(
        self, words: Tensor, vectors: Tensor, characters: Tensor, passage: Tensor, question: Tensor, match: Tensor
    ) -> Logits:
        """Returns logits of start and end; see `modicum.reading.inputs.Inputs` for the arguments."""
        table = self.embedding.table(words, vectors, characters)
        return self.answer(self.encode_passage(table, passage, match), self.encode_question(table, question))

    def encode_passage(self, table: Tensor, passage: Tensor, match: Tensor) -> Encoded:
        """Encodes the passage's words in context, ``(B, L)`` or ``(B, L + 1)`` with "no answer" first.

        Without the match feature it depends on the passage alone: one encoding, expanded, serves many questions.

        Args:
            table: The result of ``embedding.table`` for the words.
            passage: (B, L) int64, rows of the table, 0 after the end.
            match: (B, L), 1 where the word occurs in the question.
        """
        x, present = self.embedding(table, passage, match), passage != 0
        if self.no_answer is not None:
            x = torch.cat([self.no_answer.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
            present = torch.cat([present.new_ones(len(x), 1), present], dim=1)
        return Encoded(self.embedding_encoder(x, present), present)

    def encode_question(self, table: Tensor, question: Tensor) -> Encoded:
        """Encodes the question's words in context, from (B, M) rows of the table."""
        present = question != 0
        return Encoded(self.embedding_encoder(self.embedding(table, question, None), present), present)

    def answer(self, passage: Encoded, question: Encoded) -> Logits:
        """Returns logits of start and end for as many encoded passages as questions."""
        x = self.between(self.resize(self.attention(passage, question)))
        if self.options.leading_pass:
            x = self.model_encoder(x, passage.present)
        first = self.model_encoder(x, passage.present)  # M0, M1, M2 of the paper: the same weights three times
        second = self.model_encoder(first, passage.present)
        third = self.model_encoder(self.between(second), passage.present)
        start = self.start(self.pointer_dropout(torch.cat([first, second], dim=2)))
        end = self.end(self.pointer_dropout(torch.cat([first, third], dim=2)))
        return Logits(*(mask_logits(logits.squeeze(2), passage.present) for logits in (start, end)))

    @torch.no_grad()
    def attention_to_question(self, inputs: Inputs) -> Tensor:
        """Returns how each passage word spreads its attention over the question's words, (B, L, M); rows sum to 1."""
        table = self.embedding.table(inputs.words, inputs.vectors, inputs.characters)
        passage = self.encode_passage(table, inputs.passage, inputs.match)
        weights = self.attention.to_question(passage, self.encode_question(table, inputs.question))
        return weights[:, 1:] if self.has_no_answer else weights

    def storage_config(self) -> dict[str, Any]:
        """Returns the arguments from which `rebuild_qanet` rebuilds the network."""
        return {
            "options": asdict(self.options),
            "num_characters": self.num_characters,
            "num_words": self.num_words,
        }


def mask_logits(logits: Tensor, present: Tensor) -> Tensor:
    """Returns logits (B, L) in single precision, `MASKED` at padding."""
    return logits.float().masked_fill(~present, MASKED)


def rebuild_qanet(*, options: dict[str, Any], num_characters: int, num_words: int | None) -> QANet:
    """Builds a network with random weights from the result of `QANet.storage_config`."""
    return QANet(NetworkOptions.from_json(options), num_characters=num_characters, num_words=num_words)


def qanet(num_characters: int) -> QANet:
    """Builds the published network: 128 features, 8 heads, 1 and 7 blocks; 1.5 M parameters plus 200 per character."""
    return QANet(PRESETS["qanet"], num_characters=num_characters)


def qanet_small(num_characters: int) -> QANet:
    """Builds the authors' later variant without characters, for minutes on an accelerator: 0.5 M parameters."""
    return QANet(PRESETS["qanet-small"], num_characters=num_characters)


def qanet_tiny(num_characters: int) -> QANet:
    """Builds a network for minutes on a CPU: 64 features, 1 and 1 block, and the match feature; 0.13 M parameters."""
    return QANet(PRESETS["qanet-tiny"], num_characters=num_characters)
