"""Passages that several questions of a batch are about, read once."""

# B pairs of passage and question, P distinct passages
import torch

from modicum.reading.inputs import Inputs, Logits
from modicum.reading.qanet.attention import Encoded
from modicum.reading.qanet.network import QANet


def share_passages(network: QANet, inputs: Inputs) -> Logits:
    """Runs the network as ``network(*inputs)``, but embeds and encodes each of the P distinct passages only once.

    With the match feature a passage's words depend on the question, so nothing can be shared and nothing is.
    """
    if network.options.embedding.match_feature:
        logits: Logits = network(*inputs)
        return logits
    passages, place = torch.unique(inputs.passage, dim=0, return_inverse=True)
    table = network.embedding.table(inputs.words, inputs.vectors, inputs.characters)
    encoded = network.encode_passage(table, passages, torch.zeros_like(passages, dtype=inputs.match.dtype))
    expanded = Encoded(encoded.features[place], encoded.present[place])
    return network.answer(expanded, network.encode_question(table, inputs.question))
