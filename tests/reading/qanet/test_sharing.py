import pytest
import torch

from modicum.reading.qanet.sharing import share_passages


def repeated(inputs):
    """The batch with its first passage asked about twice more."""
    passage = inputs.passage[[0, 1, 0, 0]]
    question = inputs.question[[0, 1, 1, 0]]
    match = (passage.unsqueeze(2) == question.unsqueeze(1)).any(2).float() * (passage != 0)
    return inputs._replace(passage=passage, question=question, match=match)


def test_shared_passages_change_no_logit(options, make_network, make_inputs):
    network, inputs = make_network(options), repeated(make_inputs())
    with torch.inference_mode():
        torch.testing.assert_close(share_passages(network, inputs), network(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("variant", "passages"), [("plain", 2), ("match feature", 4)])
def test_each_passage_is_encoded_once_unless_it_depends_on_the_question(
    variants, make_network, make_inputs, variant, passages
):
    network, inputs = make_network(variants[variant]), repeated(make_inputs())
    encoded = []
    network.embedding_encoder.register_forward_pre_hook(lambda module, arguments: encoded.append(len(arguments[0])))
    share_passages(network, inputs)
    assert encoded == [passages, 4]
