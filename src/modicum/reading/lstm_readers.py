"""Readers with recurrence in the roles of QANet's encoders: what it is timed against, and trained against.

M. Seo, A. Kembhavi, A. Farhadi, H. Hajishirzi, *Bidirectional Attention Flow for Machine Comprehension*, ICLR 2017, and
the readers RNN-1-128 to RNN-3-128 of the QANet paper (table 3), of which it says no more than layers and width. Words
are embedded and passage and question attend to each other by the very modules of QANet, so that a comparison is one of
the encoders alone; BiDAF's own second hop is a maximum over the question's words.
"""
# B pairs of passage and question, L words, V distinct words, h features per direction of an LSTM

from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modicum.reading.inputs import Logits
from modicum.reading.qanet.attention import ContextQueryAttention, Encoded
from modicum.reading.qanet.embedding import WordEmbedding, initialise
from modicum.reading.qanet.network import mask_logits
from modicum.reading.qanet.options import DropoutOptions, EmbeddingOptions

BIDAF_EMBEDDING = EmbeddingOptions(character_dim=16, character_features=100)
BIDAF_DROPOUT = 0.2


class BiLstm(nn.Module):
    """A stack of bidirectional LSTMs that never reads padding, in either direction.

    Args:
        inputs: Features of a word.
        hidden: h.
        layers: How many.
        dropout: Of what each layer reads.
    """

    def __init__(self, inputs: int, hidden: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True, bidirectional=True, dropout=between)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Returns words (B, L, 2 h) with their context, zero at padding, of (B, L, inputs); ``present`` is (B, L).

        Waits for the device: an LSTM must know its lengths.
        """
        lengths = present.sum(1).cpu()
        packed = pack_padded_sequence(self.before(x), lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class LstmReader(nn.Module):
    """BiDAF with QANet's attention: reads words, then what they found in the question, then once more for the end.

    Args:
        embedding: How words are embedded, to 2 h features.
        hidden: h.
        layers: Of the stack that reads what words found in the question.
        dropout: Of what LSTMs and pointers read, words included.
        num_characters: Characters of the vocabulary, padding and unknown included.
        num_words: Words of the vocabulary, to train a vector for each; None reads the vectors of the batch.
        no_answer: See `modicum.reading.qanet.options.NetworkOptions`.
    """

    storage_name: ClassVar[str] = "lstm-reader"

    def __init__(
        self,
        embedding: EmbeddingOptions,
        hidden: int,
        *,
        layers: int,
        dropout: float,
        num_characters: int,
        num_words: int | None = None,
        no_answer: bool = False,
    ) -> None:
        super().__init__()
        self._config = {
            "embedding": asdict(embedding),
            "hidden": hidden,
            "layers": layers,
            "dropout": dropout,
            "num_characters": num_characters,
            "num_words": num_words,
            "no_answer": no_answer,
        }
        width = 2 * hidden
        shares = DropoutOptions(words=0.0, characters=0.0, layers=dropout)
        self.embedding = WordEmbedding(
            embedding, shares, width=width, num_characters=num_characters, num_words=num_words
        )
        self.no_answer = nn.Parameter(torch.randn(width)) if no_answer else None
        self.phrases = BiLstm(width, hidden, layers=1, dropout=dropout)
        self.attention = ContextQueryAttention(width, dropout=0.0)
        self.model = BiLstm(4 * width, hidden, layers=layers, dropout=dropout)
        self.end_model = BiLstm(width, hidden, layers=1, dropout=dropout)
        self.start = initialise(nn.Linear(5 * width, 1))
        self.end = initialise(nn.Linear(5 * width, 1))
        self.pointer_dropout = nn.Dropout(dropout)

    @property
    def has_no_answer(self) -> bool:
        """Whether the first logit is that of "no answer"."""
        return self.no_answer is not None

    def forward(
        self, words: Tensor, vectors: Tensor, characters: Tensor, passage: Tensor, question: Tensor, match: Tensor
    ) -> Logits:
        """Returns logits of start and end; see `modicum.reading.inputs.Inputs` for the arguments."""
        table = self.embedding.table(words, vectors, characters)
        x, present = self.embedding(table, passage, match), passage != 0
        if self.no_answer is not None:
            x = torch.cat([self.no_answer.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
            present = torch.cat([present.new_ones(len(x), 1), present], dim=1)
        asked = question != 0
        encoded_question = Encoded(self.phrases(self.embedding(table, question, None), asked), asked)
        found = self.attention(Encoded(self.phrases(x, present), present), encoded_question)
        first = self.model(found, present)
        last = self.end_model(first, present)
        start = self.start(self.pointer_dropout(torch.cat([found, first], dim=2)))
        end = self.end(self.pointer_dropout(torch.cat([found, last], dim=2)))
        return Logits(*(mask_logits(logits.squeeze(2), present) for logits in (start, end)))

    def storage_config(self) -> dict[str, Any]:
        """Returns the arguments from which `rebuild_lstm_reader` rebuilds the network."""
        return dict(self._config)


def rebuild_lstm_reader(*, embedding: dict[str, Any], hidden: int, **config: Any) -> LstmReader:  # noqa: ANN401  JSON
    """Builds a network with random weights from the result of `LstmReader.storage_config`."""
    return LstmReader(EmbeddingOptions(**embedding), hidden, **config)


def bidaf_reader(num_characters: int, embedding: EmbeddingOptions = BIDAF_EMBEDDING) -> LstmReader:
    """Builds a reader of BiDAF's size: h = 100 and two layers that read what words found in the question."""
    return LstmReader(embedding, 100, layers=2, dropout=BIDAF_DROPOUT, num_characters=num_characters)


def rnn_reader(layers: int, num_characters: int, embedding: EmbeddingOptions | None = None) -> LstmReader:
    """Builds RNN-1-128, RNN-2-128 or RNN-3-128; words are embedded as in QANet."""
    return LstmReader(embedding or EmbeddingOptions(), 128, layers=layers, dropout=0.1, num_characters=num_characters)
