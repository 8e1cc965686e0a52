import importlib.util
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from modicum.reading.inputs import Inputs
from modicum.reading.qanet.published import convert_allennlp, convert_port, load_published
from modicum.storage.errors import WeightsError

PATH = Path(__file__).parents[3] / "benchmarks" / "qanet_reference.py"
D, HEADS, P1, C, FEATURES, LETTERS, WORDS = 8, 2, 6, 4, 5, 12, 10


def load_reference():
    spec = importlib.util.spec_from_file_location("qanet_reference", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()


def port(seed=0):
    """A tiny network of the ports with random biases and gains."""
    torch.manual_seed(seed)
    network = reference.PlainQANet(word_dim=P1, characters=LETTERS, char_dim=C, width=D, heads=HEADS, blocks=2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def batch(vectors, size=2):
    """Passages and questions without padding, as this package's network reads them."""
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(1, LETTERS, (WORDS, 16), generator=generator)
    letters[3:6, 9:] = 0
    passage = torch.randint(1, WORDS, (size, 7), generator=generator)
    question = torch.randint(1, WORDS, (size, 4), generator=generator)
    return Inputs(torch.arange(WORDS), vectors, letters, passage, question, torch.zeros(size, 7))


def block_shapes(convolutions, kernel):
    """Names and shapes of the weights of a block, as AllenNLP's ``QaNetEncoderBlock`` defines its modules."""
    shapes = {
        "attention_norm_layer": (D,),
        "attention_layer._combined_projection": (3 * D, D),
        "attention_layer._output_projection": (D, D),
        "feedforward_norm_layer": (D,),
        "feedforward._linear_layers.0": (2 * D, D),
        "feedforward._linear_layers.1": (D, 2 * D),
    }
    for index in range(convolutions):
        shapes[f"_conv_norm_layers.{index}"] = (D,)
        shapes[f"_conv_layers.{index}.1"] = (D, 1, kernel)
        shapes[f"_conv_layers.{index}.2"] = (D, D, 1)
    return shapes


def shapes_of_allennlp(blocks=2, block_name="_encoder_blocks.{}", kernels=(7, 5)):
    """Names and shapes of the state of an AllenNLP model of these sizes.

    Written down from the modules that define it: allennlp-models rc/models/qanet.py and its qanet_encoder.py,
    multi_head_self_attention.py, allennlp's feedforward.py, highway.py, linear_matrix_attention.py, cnn_encoder.py and
    basic_text_field_embedder.py. Until version 0.9 blocks were named ``encoder_block_{}``.
    """
    characters = "_text_field_embedder.token_embedder_token_characters"
    shapes = {
        "_text_field_embedder.token_embedder_tokens.weight": (WORDS, P1),
        f"{characters}._embedding._module.weight": (LETTERS, C),
        f"{characters}._encoder._module.conv_layer_0.weight": (FEATURES, C, 5),
        f"{characters}._encoder._module.conv_layer_0.bias": (FEATURES,),
        "_matrix_attention._weight_vector": (3 * D,),
        "_matrix_attention._bias": (1,),
        "_encoding_proj_layer.weight": (D, D),  # two linear layers have no bias
        "_modeling_proj_layer.weight": (D, 4 * D),
    }
    linear = {
        "_embedding_proj_layer": (D, P1 + FEATURES),
        "_highway_layer._layers.0": (2 * D, D),
        "_highway_layer._layers.1": (2 * D, D),
        "_span_start_predictor": (1, 2 * D),
        "_span_end_predictor": (1, 2 * D),
    }
    encoders = (("_phrase_layer", 1, 4, kernels[0]), ("_modeling_layer", blocks, 2, kernels[1]))
    for encoder, number, convolutions, kernel in encoders:
        for index in range(number):
            block = f"{encoder}.{block_name.format(index)}"
            linear |= {f"{block}.{name}": shape for name, shape in block_shapes(convolutions, kernel).items()}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def allennlp(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.4 * torch.randn(shape, generator=generator) for name, shape in shapes_of_allennlp(**options).items()
    }


class PlainAllenNlp:
    """What that model computes in evaluation, written out over its state, for batches without padding."""

    def __init__(self, state, layer_dropout=0.1, block_name="_encoder_blocks.{}"):
        self.state, self.layer_dropout, self.block_name = state, layer_dropout, block_name

    def linear(self, name, x):
        return F.linear(x, self.state[f"{name}.weight"].flatten(1), self.state.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, (D,), self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def embed(self, rows, letters):
        embedder = "_text_field_embedder.token_embedder_token"
        vectors = self.state[f"{embedder}_characters._embedding._module.weight"][letters] * (letters != 0).unsqueeze(-1)
        encoder = f"{embedder}_characters._encoder._module.conv_layer_0"
        features = F.conv1d(
            vectors.flatten(0, 1).transpose(1, 2), self.state[f"{encoder}.weight"], self.state[f"{encoder}.bias"]
        )
        features = features.relu().amax(2).unflatten(0, rows.shape)
        x = self.linear("_embedding_proj_layer", torch.cat([features, self.state[f"{embedder}s.weight"][rows]], dim=2))
        for layer in range(2):
            new, gate = self.linear(f"_highway_layer._layers.{layer}", x).chunk(2, dim=2)
            x = gate.sigmoid() * x + (1 - gate.sigmoid()) * new.relu()
        return self.linear("_encoding_proj_layer", x)

    def attend(self, name, x):
        parts = self.linear(f"{name}._combined_projection", x).chunk(3, dim=2)
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
        heads = (q @ k.transpose(2, 3) / math.sqrt(D // HEADS)).softmax(3) @ v
        return self.linear(f"{name}._output_projection", heads.transpose(1, 2).flatten(2))

    def block(self, name, x, convolutions, kernel):
        x = x + reference.positions(x.shape[1], D)
        kept = [1 - self.layer_dropout * (place + 1) / (convolutions + 2) for place in range(convolutions + 2)]
        for index in range(convolutions):
            conv = f"{name}._conv_layers.{index}"
            y = self.norm(f"{name}._conv_norm_layers.{index}", x).transpose(1, 2)
            weight, bias = self.state[f"{conv}.1.weight"], self.state[f"{conv}.1.bias"]
            y = F.conv1d(y, weight, bias, padding=kernel // 2, groups=D).transpose(1, 2)
            x = x + kept[index] * self.linear(f"{conv}.2", y).relu()
        x = x + kept[-2] * self.attend(f"{name}.attention_layer", self.norm(f"{name}.attention_norm_layer", x))
        y = self.linear(f"{name}.feedforward._linear_layers.0", self.norm(f"{name}.feedforward_norm_layer", x)).relu()
        return x + kept[-1] * self.linear(f"{name}.feedforward._linear_layers.1", y)

    def __call__(self, inputs):
        c, q = (
            self.block(f"_phrase_layer.{self.block_name.format(0)}", self.embed(rows, inputs.characters[rows]), 4, 7)
            for rows in (inputs.passage, inputs.question)
        )
        w1, w2, w3 = self.state["_matrix_attention._weight_vector"].chunk(3)
        similarity = (c @ w1).unsqueeze(2) + (q @ w2).unsqueeze(1) + (c * w3) @ q.transpose(1, 2)
        rows, columns = similarity.softmax(2), similarity.softmax(1)
        a, b = rows @ q, rows @ columns.transpose(1, 2) @ c
        x = self.linear("_modeling_proj_layer", torch.cat([c, a, c * a, c * b], dim=2))
        passes = []
        for _ in range(3):
            for block in range(2):
                x = self.block(f"_modeling_layer.{self.block_name.format(block)}", x, 2, 5)
            passes.append(x)
        start = self.linear("_span_start_predictor", torch.cat(passes[:2], dim=2)).squeeze(2)
        return start, self.linear("_span_end_predictor", torch.cat([passes[0], passes[2]], dim=2)).squeeze(2)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [1, 3])
def test_a_converted_port_gives_its_logits(seed, size):
    plain = port(seed)
    network, words = convert_port(plain.state_dict(), HEADS)
    inputs = batch(torch.randn(WORDS, P1, generator=torch.Generator().manual_seed(2)), size)
    inputs.vectors[1] = words[1]  # the unknown word's vector is in the table

    with torch.inference_mode():
        wanted = plain(*reference.spread(inputs.vectors, inputs.characters, inputs.passage, inputs.question))
        for found, other in zip(network(*inputs), wanted, strict=True):
            torch.testing.assert_close(found, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [1, 3])
def test_a_converted_allennlp_model_gives_its_logits(seed, size):
    state = allennlp(seed)
    network, words = convert_allennlp(state, HEADS)
    inputs = batch(words, size)

    with torch.inference_mode():
        for found, wanted in zip(network(*inputs), PlainAllenNlp(state)(inputs), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_published_numbers_of_parameters_are_those_of_the_states():
    plain = reference.PlainQANet(word_dim=300, characters=100, char_dim=64, width=128, heads=8)

    trained = sum(each.numel() for name, each in plain.named_parameters() if name != "word_emb.weight")
    assert trained == 1_210_633


def test_states_of_versions_before_the_list_of_blocks_give_their_logits():
    block_name = "encoder_block_{}"
    state = allennlp(block_name=block_name)
    network, words = convert_allennlp(state, HEADS)
    inputs = batch(words)

    assert network.options.model_encoder.blocks == 2
    with torch.inference_mode():
        wanted = PlainAllenNlp(state, block_name=block_name)(inputs)
        torch.testing.assert_close(tuple(network(*inputs)), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer_dropout", [0.0, 0.5])
def test_sublayers_are_weighed_by_the_layer_dropout_that_is_told(layer_dropout, tmp_path):
    state = allennlp()
    torch.save(state, tmp_path / "best.th")
    network, words = load_published(tmp_path / "best.th", HEADS, layer_dropout=layer_dropout)
    inputs = batch(words)

    with torch.inference_mode():
        wanted = PlainAllenNlp(state, layer_dropout)(inputs)
        torch.testing.assert_close(tuple(network(*inputs)), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer_dropout", [-0.1, 1.1, math.nan])
def test_layer_dropout_that_is_no_probability_is_refused(layer_dropout):
    with pytest.raises(ValueError, match=r"layer_dropout must be a probability in \[0, 1\], got"):
        convert_allennlp(allennlp(), HEADS, layer_dropout=layer_dropout)


@pytest.mark.parametrize(("kernels", "place"), [((6, 5), "embedding"), ((7, 4), "model")])
def test_even_kernels_are_refused_in_one_line(kernels, place, tmp_path):
    torch.save(allennlp(kernels=kernels), tmp_path / "best.th")
    with pytest.raises(
        WeightsError, match=rf"best\.th .*the {place} encoder has convolutions over [46] words: only odd"
    ):
        load_published(tmp_path / "best.th", HEADS)


def test_padding_changes_no_logit_of_a_converted_network():
    network, words = convert_allennlp(allennlp(), HEADS)
    inputs = batch(words)
    padded = inputs._replace(
        passage=F.pad(inputs.passage, (0, 5)), question=F.pad(inputs.question, (0, 3)), match=torch.zeros(2, 12)
    )
    with torch.inference_mode():
        torch.testing.assert_close(network(*padded).start[:, :7], network(*inputs).start, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize("make", [lambda: port().state_dict(), allennlp])
def test_a_file_says_itself_who_wrote_it(tmp_path, make, ending):
    path, state = tmp_path / f"released.{ending}", make()
    if ending == "pt":
        torch.save(state, path)
    else:
        save_file(state, path)

    published = load_published(path, HEADS)

    assert published.network.options.width == D
    assert published.word_vectors.shape[1] == P1
    assert not published.network.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("cq_resizer.out.weight"), "the tensor cq_resizer.out.weight is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "tensors unknown: .extra"),
        (
            lambda state: state.update({"out.w1.out.weight": torch.zeros(1, 3, 1)}),
            r"do not fit the others: .start.weight would be \(1, 3\), not \(1, 16\)",
        ),
    ],
)
def test_other_tensors_are_refused_by_name(change, message, tmp_path):
    state = dict(port().state_dict())
    change(state)
    torch.save(state, tmp_path / "released.pt")

    with pytest.raises(WeightsError, match=f"does not hold weights of a known QANet: .*{message}"):
        load_published(tmp_path / "released.pt", HEADS)


def test_empty_state_is_refused(tmp_path):
    torch.save({}, tmp_path / "released.pt")
    with pytest.raises(WeightsError, match="holds no state of a network"):
        load_published(tmp_path / "released.pt", HEADS)


def test_a_file_that_is_no_state_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")

    with pytest.raises(WeightsError, match="holds no state of a network"):
        load_published(tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"is damaged|does not exist"):
        load_published(tmp_path / "text.pt")
