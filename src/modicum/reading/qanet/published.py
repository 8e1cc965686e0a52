"""Weights of public QANet implementations: their tensors as those of this package's network, none left over.

Two families of names are known: AllenNLP's, and that of the PyTorch ports by A. Chen and B. Liu, whose layers are
convolutions over one position. What differs is worked into the weights, exactly: biases of depthwise convolutions pass
through the linear layer behind them, AllenNLP's factors of stochastic depth in evaluation go into the last layer of
each sublayer, its highway gates carry where these transform, and biases of similarities go, which no softmax sees.

A converted network gives the logits of its origin where there is no padding; what these read of padding, it does not.
Two cautions: AllenNLP 1.0 and later skip windows of characters that reach behind a word, and the port by A. Chen reads
ends from its last block alone.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.reading.qanet.embedding import HIGHWAY_LAYERS, UNKNOWN
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.options import DropoutOptions, EmbeddingOptions, EncoderOptions, NetworkOptions
from modicum.storage.errors import WeightsError, first_few
from modicum.storage.states import read_state

LAYER_DROPOUT = 0.1  # AllenNLP's default, and that of its released configuration
# Blocks stood in the encoder itself, as ``encoder_block_0``, until a list of modules took them.
_ALLENNLP_BLOCK = re.compile(r"(?<=_layer\.)_encoder_blocks\.(\d+)\.")
_ALLENNLP_LINEAR = {
    "embedding.projection": "_embedding_proj_layer",
    "embedding.last_projection": "_encoding_proj_layer",
    "resize": "_modeling_proj_layer",
    "start": "_span_start_predictor",
    "end": "_span_end_predictor",
}
_PORT_LINEAR = {
    "embedding.projection": "emb.conv1d.out",
    **{f"embedding.highway.transforms.{layer}": f"emb.high.linear.{layer}.out" for layer in range(HIGHWAY_LAYERS)},
    **{f"embedding.highway.gates.{layer}": f"emb.high.gate.{layer}.out" for layer in range(HIGHWAY_LAYERS)},
    "resize": "cq_resizer.out",
    "start": "out.w1.out",
    "end": "out.w2.out",
}


class Published(NamedTuple):
    """What a released state holds."""

    network: QANet  # in evaluation mode, on the CPU
    word_vectors: Tensor  # (N, p1): the frozen table by the rows of its own vocabulary, padding and unknown first


class _Rest:
    """Tensors that are taken one by one, so that what is missing or left over is known by name."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)

    def take(self, name: str) -> Tensor:
        """Removes a tensor and returns a copy of it in single precision."""
        if name not in self._tensors:
            raise WeightsError(f"the tensor {name} is missing")
        return self._tensors.pop(name).detach().float().clone()

    def linear(self, name: str) -> tuple[Tensor, Tensor]:
        """Takes weight (out, in) and bias (zero if missing) of a linear layer or a convolution over one position."""
        weight = self.take(f"{name}.weight").flatten(1)
        return weight, self.take(f"{name}.bias") if f"{name}.bias" in self._tensors else torch.zeros(len(weight))

    def norm(self, name: str) -> tuple[Tensor, Tensor]:
        """Takes gain and bias of a layer normalisation."""
        return self.take(f"{name}.weight"), self.take(f"{name}.bias")

    def count(self, beginning: str) -> int:
        """Counts the numbers, from 0 on, that stand for ``{}`` in the beginnings of names."""
        number = 0
        while any(name.startswith(beginning.format(number)) for name in self._tensors):
            number += 1
        return number

    def refuse(self) -> None:
        """Raises `WeightsError` if any tensor was not taken."""
        if self._tensors:
            raise WeightsError(f"tensors unknown: {first_few(sorted(self._tensors))}")


def load_published(path: str | Path, heads: int = 8, *, layer_dropout: float = LAYER_DROPOUT) -> Published:
    """Loads the network of a released file; its tensor names tell which implementation wrote it.

    Args:
        path: A state of tensors by name, as a pickle of torch or as ``.safetensors``. Nothing in it is executed.
        heads: Number of attention heads, which no tensor tells.
        layer_dropout: ``layer_dropout_undecayed_prob`` of an AllenNLP model's configuration, in [0, 1], which no tensor
            tells either: evaluation weighs each sublayer by how often training kept it. Ports do not, and ignore it.

    Raises:
        WeightsError: If the file cannot be read, or its tensors are not those of such a network.
        ValueError: If ``heads`` does not divide the width, or ``layer_dropout`` is not a probability.
    """
    state = read_state(path)
    try:
        if any(name.startswith("_phrase_layer.") for name in state):
            return convert_allennlp(state, heads, layer_dropout=layer_dropout)
        return convert_port(state, heads)
    except WeightsError as error:
        raise WeightsError(f"{path} does not hold weights of a known QANet: {error}") from error


def convert_allennlp(state: Mapping[str, Tensor], heads: int = 8, *, layer_dropout: float = LAYER_DROPOUT) -> Published:
    """Converts the weights of AllenNLP's ``qanet`` model; see `load_published` for arguments and errors."""
    if not 0 <= layer_dropout <= 1:
        raise ValueError(f"layer_dropout must be a probability in [0, 1], got {layer_dropout}")
    rest = _Rest({_ALLENNLP_BLOCK.sub(r"encoder_block_\1.", name): tensor for name, tensor in state.items()})
    embedder, characters = "_text_field_embedder.token_embedder_tokens", "embedding.characters"
    their_characters = "_text_field_embedder.token_embedder_token_characters"
    words = rest.take(f"{embedder}.weight")
    ours = {
        "embedding.unknown": words[UNKNOWN],
        f"{characters}.characters.weight": rest.take(f"{their_characters}._embedding._module.weight"),
        f"{characters}.convolution.weight": rest.take(f"{their_characters}._encoder._module.conv_layer_0.weight"),
        f"{characters}.convolution.bias": rest.take(f"{their_characters}._encoder._module.conv_layer_0.bias"),
        "attention.weight": rest.take("_matrix_attention._weight_vector").view(3, -1),
    }
    ours[f"{characters}.characters.weight"][0] = 0  # they mask padding where this network reads zeros
    rest.take("_matrix_attention._bias")
    for name, theirs in _ALLENNLP_LINEAR.items():
        ours |= _named(name, rest.linear(theirs))
    _put_words_first(ours, words)
    for layer in range(HIGHWAY_LAYERS):
        weight, bias = rest.linear(f"_highway_layer._layers.{layer}")
        transforms, carries = zip(weight.chunk(2), bias.chunk(2), strict=True)
        ours |= _named(f"embedding.highway.transforms.{layer}", transforms)
        ours |= _named(f"embedding.highway.gates.{layer}", (-carries[0], -carries[1]))
    for name, theirs in (("embedding_encoder", "_phrase_layer"), ("model_encoder", "_modeling_layer")):
        for block in range(rest.count(f"{theirs}.encoder_block_{{}}.")):
            ours |= _allennlp_block(rest, f"{name}.blocks.{block}", f"{theirs}.encoder_block_{block}", layer_dropout)
    rest.refuse()
    embedding = EmbeddingOptions(highway="between")
    return Published(_network(ours, words, heads, NetworkOptions(embedding=embedding)), words)


def convert_port(state: Mapping[str, Tensor], heads: int = 8) -> Published:
    """Converts the weights of the PyTorch ports; see `load_published` for arguments and errors."""
    rest = _Rest(state)
    words = rest.take("word_emb.weight")
    ours = {
        "embedding.unknown": words[UNKNOWN],
        "embedding.characters.characters.weight": rest.take("char_emb.weight"),
        "embedding.characters.convolution.weight": rest.take("emb.conv2d.weight").squeeze(2),
        "embedding.characters.convolution.bias": rest.take("emb.conv2d.bias"),
        "attention.weight": torch.stack([rest.take(f"cq_att.{name}").flatten() for name in ("w4C", "w4Q", "w4mlu")]),
    }
    rest.take("cq_att.bias")
    for name, theirs in _PORT_LINEAR.items():
        ours |= _named(name, rest.linear(theirs))
    _put_words_first(ours, words)
    ours |= _port_block(rest, "embedding_encoder.blocks.0", "emb_enc")
    for block in range(rest.count("model_enc_blks.{}.")):
        ours |= _port_block(rest, f"model_encoder.blocks.{block}", f"model_enc_blks.{block}")
    rest.refuse()
    options = NetworkOptions(
        embedding=EmbeddingOptions(highway_relu=False),
        dropout=DropoutOptions(attention=0.1, rescale=False),
        output_projection=False,
    )
    return Published(_network(ours, words, heads, options), words)


def _allennlp_block(rest: _Rest, ours: str, theirs: str, layer_dropout: float) -> dict[str, Tensor]:
    """Converts one block; scales each sublayer's last weights by how often training kept that sublayer."""
    convolutions = rest.count(f"{theirs}._conv_norm_layers.{{}}.")
    kept = [1 - layer_dropout * (place + 1) / (convolutions + 2) for place in range(convolutions + 2)]
    tensors: dict[str, Tensor] = {}
    for place in range(convolutions):
        name, conv = f"{ours}.{place}", f"{theirs}._conv_layers.{place}"
        weight, bias = rest.linear(f"{conv}.2")
        bias = bias + weight @ rest.take(f"{conv}.1.bias")
        tensors |= _named(f"{name}.norm", rest.norm(f"{theirs}._conv_norm_layers.{place}"))
        tensors[f"{name}.operation.depthwise.weight"] = rest.take(f"{conv}.1.weight")
        tensors |= _named(f"{name}.operation.pointwise", (kept[place] * weight, kept[place] * bias))
    attention, feed_forward = f"{ours}.{convolutions}", f"{ours}.{convolutions + 1}"
    last = {
        f"{attention}.operation.output": f"{theirs}.attention_layer._output_projection",
        f"{feed_forward}.operation.outer": f"{theirs}.feedforward._linear_layers.1",
    }
    for share, (name, other) in zip(kept[-2:], last.items(), strict=True):
        weight, bias = rest.linear(other)
        tensors |= _named(name, (share * weight, share * bias))
    combined = rest.linear(f"{theirs}.attention_layer._combined_projection")
    tensors |= _named(f"{attention}.operation.queries_keys_values", combined)
    tensors |= _named(f"{feed_forward}.operation.inner", rest.linear(f"{theirs}.feedforward._linear_layers.0"))
    tensors |= _named(f"{attention}.norm", rest.norm(f"{theirs}.attention_norm_layer"))
    return tensors | _named(f"{feed_forward}.norm", rest.norm(f"{theirs}.feedforward_norm_layer"))


def _port_block(rest: _Rest, ours: str, theirs: str) -> dict[str, Tensor]:
    """Converts one block; joins queries with keys and values, and drops a bias of all scores, which no softmax sees."""
    convolutions = rest.count(f"{theirs}.norm_C.{{}}.")
    tensors: dict[str, Tensor] = {}
    for place in range(convolutions):
        name, conv = f"{ours}.{place}", f"{theirs}.convs.{place}"
        tensors |= _named(f"{name}.norm", rest.norm(f"{theirs}.norm_C.{place}"))
        tensors[f"{name}.operation.depthwise.weight"] = rest.take(f"{conv}.depthwise_conv.weight")
        tensors |= _named(f"{name}.operation.pointwise", rest.linear(f"{conv}.pointwise_conv"))
    attention, feed_forward = f"{ours}.{convolutions}", f"{ours}.{convolutions + 1}"
    rest.take(f"{theirs}.self_att.bias")
    parts = [rest.linear(f"{theirs}.self_att.{name}.out") for name in ("query_conv", "mem_conv")]
    joined = torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])
    tensors |= _named(f"{attention}.operation.queries_keys_values", joined)
    for name, other in (("inner", "FFN_1"), ("outer", "FFN_2")):
        tensors |= _named(f"{feed_forward}.operation.{name}", rest.linear(f"{theirs}.{other}.out"))
    tensors |= _named(f"{attention}.norm", rest.norm(f"{theirs}.norm_1"))
    return tensors | _named(f"{feed_forward}.norm", rest.norm(f"{theirs}.norm_2"))


def _named(name: str, tensors: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return dict(zip((f"{name}.weight", f"{name}.bias"), tensors, strict=True))


def _put_words_first(ours: dict[str, Tensor], words: Tensor) -> None:
    """Reorders what the projection reads: they all join characters with words, this network words with characters."""
    weight = ours["embedding.projection.weight"]
    features = weight.shape[1] - words.shape[1]
    ours["embedding.projection.weight"] = torch.cat([weight[:, features:], weight[:, :features]], dim=1)


def _network(ours: dict[str, Tensor], words: Tensor, heads: int, options: NetworkOptions) -> QANet:
    """Builds the network with sizes from the tensors and choices from ``options``."""
    table, convolution = (ours[f"embedding.characters.{name}.weight"] for name in ("characters", "convolution"))
    model_encoder = _structure(ours, "model_encoder")
    inner = f"model_encoder.blocks.0.{model_encoder.convolutions + 1}.operation.inner.weight"
    options = replace(
        options,
        embedding=replace(
            options.embedding,
            word_dim=words.shape[1],
            character_dim=table.shape[1],
            character_features=len(convolution),
        ),
        embedding_encoder=_structure(ours, "embedding_encoder"),
        model_encoder=model_encoder,
        width=len(ours["resize.weight"]),
        heads=heads,
        feed_forward=len(ours[inner]),
    )
    network = QANet(options, num_characters=len(table))
    misshapen = [
        f"{name} would be {tuple(ours[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in network.state_dict().items()
        if ours[name].shape != tensor.shape
    ]
    if misshapen:
        raise WeightsError(f"tensors that do not fit the others: {first_few(misshapen)}")
    network.load_state_dict({name: tensor.clone() for name, tensor in ours.items()}, strict=True)
    return network.eval()


def _structure(ours: Mapping[str, Tensor], encoder: str) -> EncoderOptions:
    kernels = [tensor.shape[2] for name, tensor in ours.items() if _is_depthwise(name, encoder)]
    blocks = {name.split(".")[2] for name in ours if name.startswith(f"{encoder}.blocks.")}
    if not kernels:
        raise WeightsError(f"the {encoder.replace('_', ' ')} has no convolutions")
    if even := [kernel for kernel in kernels if kernel % 2 == 0]:
        raise WeightsError(
            f"the {encoder.replace('_', ' ')} has convolutions over {even[0]} words: only odd kernels, which see as "
            "far to either side, can be converted"
        )
    return EncoderOptions(len(blocks), len(kernels) // len(blocks), kernels[0])


def _is_depthwise(name: str, encoder: str) -> bool:
    return name.startswith(encoder) and name.endswith(".depthwise.weight")
