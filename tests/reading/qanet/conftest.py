from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from modicum.reading.inputs import Inputs
from modicum.reading.qanet.fitting import fit
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.options import DropoutOptions, EmbeddingOptions, EncoderOptions, NetworkOptions
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.recipes import build_recipe
from modicum.storage.runs import RunFolder

CHARACTERS = 20
TINY = NetworkOptions(
    embedding=EmbeddingOptions(word_dim=6, character_dim=4, character_features=5),
    embedding_encoder=EncoderOptions(blocks=1, convolutions=2, kernel=7),
    model_encoder=EncoderOptions(blocks=2, convolutions=2, kernel=5),
    width=8,
    heads=2,
    feed_forward=12,
)
OPTIONS = {
    "plain": TINY,
    "no characters": replace(TINY, embedding=replace(TINY.embedding, character_dim=0)),
    "maximum of characters": replace(
        TINY, embedding=replace(TINY.embedding, character_dim=5, character_convolution=False)
    ),
    "highway first": replace(TINY, embedding=replace(TINY.embedding, highway="concatenated", highway_relu=False)),
    "highway between": replace(TINY, embedding=replace(TINY.embedding, highway="between")),
    "match feature": replace(TINY, embedding=replace(TINY.embedding, match_feature=True)),
    "no answer": replace(TINY, no_answer=True),
    "no convolutions": replace(
        TINY,
        embedding_encoder=replace(TINY.embedding_encoder, convolutions=0),
        model_encoder=replace(TINY.model_encoder, convolutions=0),
    ),
    "no self-attention": replace(
        TINY,
        embedding_encoder=replace(TINY.embedding_encoder, self_attention=False),
        model_encoder=replace(TINY.model_encoder, self_attention=False),
    ),
    "no output projection": replace(TINY, output_projection=False),
    "leading pass": replace(TINY, leading_pass=True, final_norm=True),
    "dropout": replace(
        TINY, dropout=DropoutOptions(sublayers=0.2, attention=0.1, pointers=0.3, layer_dropout=0.5, rescale=False)
    ),
}


def _random_inputs(lengths=((9, 4), (5, 2)), *, seed=0, word_dim=6, characters=CHARACTERS, distinct=12):
    """A batch of random passages and questions of these lengths, padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.arange(distinct)
    vectors = torch.randn(distinct, word_dim, generator=generator)
    vectors[:2] = 0
    letters = torch.randint(1, characters, (distinct, 16), generator=generator)
    letters[0] = 0
    passage = torch.zeros(len(lengths), max(length for length, _ in lengths), dtype=torch.int64)
    question = torch.zeros(len(lengths), max(length for _, length in lengths), dtype=torch.int64)
    for row, (passage_length, question_length) in enumerate(lengths):
        passage[row, :passage_length] = torch.randint(1, distinct, (passage_length,), generator=generator)
        question[row, :question_length] = torch.randint(1, distinct, (question_length,), generator=generator)
    match = (passage.unsqueeze(2) == question.unsqueeze(1)).any(2).float() * (passage != 0)
    return Inputs(words, vectors, letters, passage, question, match)


def _build(options=TINY, *, seed=0, **arguments):
    """A network whose biases and gains are random too, so that none is left out unnoticed."""
    torch.manual_seed(seed)
    network = QANet(options, num_characters=CHARACTERS, **arguments).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture(params=OPTIONS)
def options(request):
    """One after the other, every choice that changes what is computed."""
    return OPTIONS[request.param]


@pytest.fixture(scope="session")
def variants():
    """Options of tiny networks by what is special about them."""
    return OPTIONS


@pytest.fixture(scope="session")
def make_inputs():
    """Function from lengths of passages and questions to a batch."""
    return _random_inputs


@pytest.fixture(scope="session")
def make_network():
    """Function from options to a tiny network."""
    return _build


@pytest.fixture(scope="session")
def quick_training(quick_options, made_once):
    """The run folder of the quick training, and the weights that it returned; not to be changed."""

    def train(folder):
        run = RunFolder.create(folder / "run", system="qanet", recipe_text="", command="", versions={})
        network = fit(build_recipe(QANetRecipe, quick_options), run)
        assert not network.training
        save_file(
            {name: value.clone() for name, value in network.state_dict().items()}, folder / "returned.safetensors"
        )

    folder = made_once("training-qanet", train)
    return RunFolder.open(folder / "run"), load_file(folder / "returned.safetensors")
