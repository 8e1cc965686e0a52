from functools import partial

import pytest
import torch
import torch.nn.functional as F

from modicum.reading.inputs import MASKED, Inputs
from modicum.reading.lstm_readers import LstmReader, bidaf_reader, rebuild_lstm_reader, rnn_reader
from modicum.reading.qanet.options import EmbeddingOptions
from modicum.storage.weights import load_network, save_network

EMBEDDING = EmbeddingOptions(word_dim=6, character_dim=3, character_features=4)


def make_reader(**options):
    torch.manual_seed(0)
    return LstmReader(EMBEDDING, 5, **({"layers": 2, "dropout": 0.1, "num_characters": 9} | options)).eval()


def make_inputs():
    generator = torch.Generator().manual_seed(0)
    passage = torch.randint(1, 10, (2, 7), generator=generator)
    question = torch.randint(1, 10, (2, 4), generator=generator)
    passage[1, 5:], question[1, 2:] = 0, 0
    return Inputs(
        torch.arange(10),
        torch.randn(10, 6, generator=generator),
        torch.randint(0, 9, (10, 16), generator=generator),
        passage,
        question,
        torch.zeros(2, 7),
    )


@pytest.mark.parametrize("no_answer", [False, True])
def test_padding_changes_no_logit(no_answer):
    network, inputs = make_reader(no_answer=no_answer), make_inputs()
    alone = inputs._replace(
        passage=inputs.passage[1:, :5], question=inputs.question[1:, :2], match=inputs.match[1:, :5]
    )
    padded = inputs._replace(
        passage=F.pad(inputs.passage, (0, 20)), question=F.pad(inputs.question, (0, 3)), match=torch.zeros(2, 27)
    )
    with torch.inference_mode():
        for found, wanted in zip(network(*padded), network(*alone), strict=True):
            torch.testing.assert_close(found[1, : 5 + no_answer], wanted[0], atol=1e-5, rtol=1e-5)
            assert (found[1, 5 + no_answer :] == MASKED).all()


def test_all_parameters_learn():
    network = make_reader(no_answer=True).train()
    logits = network(*make_inputs())
    (F.cross_entropy(logits.start, torch.tensor([0, 2])) + F.cross_entropy(logits.end, torch.tensor([0, 3]))).backward()

    assert [name for name, each in network.named_parameters() if each.grad is None] == []


def test_a_saved_reader_comes_back(tmp_path):
    network, inputs = make_reader(layers=3, no_answer=True), make_inputs()
    save_network(tmp_path / "model.safetensors", network)

    loaded = load_network(tmp_path / "model.safetensors", {"lstm-reader": rebuild_lstm_reader})

    assert torch.equal(loaded(*inputs).start, network(*inputs).start)


@pytest.mark.parametrize(
    ("build", "layers", "parameters"),
    [
        (bidaf_reader, 2, 1_700_002),
        (partial(rnn_reader, 1), 1, 2_587_478),
        (partial(rnn_reader, 2), 2, 2_982_742),
        (partial(rnn_reader, 3), 3, 3_378_006),
    ],
)
def test_the_published_readers_have_their_sizes(build, layers, parameters):
    network = build(100)

    assert network.model.lstm.num_layers == layers
    assert sum(each.numel() for each in network.parameters()) == parameters
