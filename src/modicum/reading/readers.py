"""Trained networks as readers."""

from modicum.reading.answering import Reader
from modicum.reading.data.batches import Collator
from modicum.reading.inputs import Inputs, Logits
from modicum.reading.lstm_readers import LstmReader
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.sharing import share_passages
from modicum.reading.recipe import TextOptions


def make_reader(network: QANet | LstmReader, collator: Collator, text: TextOptions, *, n_best: int = 1) -> Reader:
    """Makes a reader of a network, on the device that the network is on.

    Args:
        network: In evaluation mode.
        collator: The collator of its training.
        text: Limits of its training.
        n_best: Number of candidates for each question.
    """
    device = next(network.parameters()).device

    def logits(inputs: Inputs) -> Logits:
        placed = inputs.to(device, next(network.parameters()).dtype)
        if isinstance(network, QANet):
            return share_passages(network, placed)
        found: Logits = network(*placed)
        return found

    return Reader(logits, collator, text.answer_tokens, n_best, batch_tokens=max(text.batch_tokens, 12_800))
