import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.measuring.counting import count_macs
from modicum.reading.inputs import MASKED, Inputs
from modicum.reading.qanet.attention import Encoded
from modicum.reading.qanet.bench import random_batch
from modicum.reading.qanet.embedding import CharacterFeatures
from modicum.reading.qanet.encoder import Positions, SelfAttention, Sublayer
from modicum.reading.qanet.network import QANet, qanet, qanet_small, qanet_tiny, rebuild_qanet
from modicum.reading.qanet.options import PRESETS, DropoutOptions, EncoderOptions
from modicum.storage.weights import load_network, save_network


def parameters_of(*modules):
    return sum(each.numel() for module in modules for each in module.parameters())


def padded(inputs: Inputs, passage: int, question: int) -> Inputs:
    """The same batch with passages and questions of these lengths."""
    missing, missing_question = passage - inputs.passage.shape[1], question - inputs.question.shape[1]
    return inputs._replace(
        passage=F.pad(inputs.passage, (0, missing)),
        question=F.pad(inputs.question, (0, missing_question)),
        match=F.pad(inputs.match, (0, missing)),
    )


def only(inputs: Inputs, row: int) -> Inputs:
    """One pair of a batch without padding."""
    passage, question = int((inputs.passage[row] != 0).sum()), int((inputs.question[row] != 0).sum())
    return inputs._replace(
        passage=inputs.passage[row : row + 1, :passage],
        question=inputs.question[row : row + 1, :question],
        match=inputs.match[row : row + 1, :passage],
    )


def test_the_tiny_preset_has_the_parameters_that_were_published():
    assert parameters_of(qanet_tiny(75)) == 126_898


def test_the_published_sizes_of_the_parts_come_out():
    network = qanet(100)

    # as AllenNLP's without the biases of its depthwise convolutions
    assert parameters_of(network.embedding_encoder) == 170_752 - 4 * 128
    assert parameters_of(network.model_encoder) == 942_592 - 7 * 2 * 128
    assert parameters_of(network.embedding.highway) == 66_048
    assert parameters_of(network.attention) == 3 * 128
    assert parameters_of(network) == 1_528_278


def test_a_highway_before_the_projection_has_fifteen_times_the_weights():
    options = replace(PRESETS["qanet"], embedding=replace(PRESETS["qanet"].embedding, highway="concatenated"))

    network = QANet(options, num_characters=100)

    assert parameters_of(network.embedding.highway) == 2 * 2 * (500 * 500 + 500)


def test_the_small_preset_is_four_passes_of_one_block():
    network, block_runs = qanet_small(100), []
    network.model_encoder.blocks[0][-1].register_forward_hook(lambda *_: block_runs.append(1))
    inputs = Inputs(*(torch.ones(shape, dtype=kind) for shape, kind in SMALL_SHAPES))

    network.eval()(*inputs)

    assert len(network.model_encoder.blocks) == 1
    assert len(block_runs) == 4
    assert parameters_of(network) == 542_894


def test_multiply_adds_are_those_counted_by_hand():
    network, inputs, d = qanet(100).eval(), random_batch([(60, 9)]), 128
    distinct, passage, question = len(inputs.words), 60, 9

    def blocks(words, kernel, convolutions):
        return words * (convolutions * (kernel * d + d * d) + 6 * d * d) + 2 * words**2 * d

    table = distinct * (12 * 200 * 200 * 5 + 500 * d + 4 * d * d)  # each distinct word once
    encoders = blocks(passage, 7, 4) + blocks(question, 7, 4) + 3 * 7 * blocks(passage, 5, 2)
    attention = 4 * passage * question * d + passage * 4 * d * d  # nothing in the square of the passage
    with torch.inference_mode():
        assert count_macs(network, *inputs) == table + encoders + attention + 2 * passage * 2 * d


SMALL_SHAPES = [
    ((2,), torch.int64),
    ((2, 300), torch.float32),
    ((2, 16), torch.int64),
    ((1, 5), torch.int64),
    ((1, 3), torch.int64),
    ((1, 5), torch.float32),
]


@pytest.mark.parametrize("extra", [0, 1, 391])
def test_padding_changes_no_logit(options, make_network, make_inputs, extra):
    network, inputs = make_network(options), make_inputs()
    first = int(network.has_no_answer)
    with torch.inference_mode():
        wanted = [network(*only(inputs, row)) for row in range(2)]
        found = network(*padded(inputs, 9 + extra, 4 + extra))
    for row, alone in enumerate(wanted):
        length = alone.start.shape[1]
        for logits, logits_alone in zip(found, alone, strict=True):
            torch.testing.assert_close(logits[row, :length], logits_alone[0], atol=1e-5, rtol=1e-5)
            assert (logits[row, length:] == MASKED).all()
            assert logits.shape == (2, 9 + extra + first)


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
    extra=st.integers(0, 20),
)
def test_an_answer_depends_on_no_other_pair_of_the_batch(make_network, make_inputs, variants, lengths, seed, extra):
    network, inputs = make_network(variants["no answer"]).double(), make_inputs(lengths, seed=seed)
    inputs = inputs._replace(vectors=inputs.vectors.double(), match=inputs.match.double())
    with torch.inference_mode():
        found = network(*padded(inputs, inputs.passage.shape[1] + extra, inputs.question.shape[1] + extra))
        for row in range(len(lengths)):
            alone = network(*only(inputs, row))
            for logits, logits_alone in zip(found, alone, strict=True):
                torch.testing.assert_close(logits[row, : logits_alone.shape[1]], logits_alone[0], atol=1e-5, rtol=1e-5)


def test_the_table_of_words_may_hold_more_and_in_another_order(make_network, make_inputs, options):
    network, inputs = make_network(options), make_inputs()
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(len(inputs.words) - 1)])
    place = order.argsort()
    shuffled = Inputs(
        inputs.words[order],
        inputs.vectors[order],
        inputs.characters[order],
        place[inputs.passage],
        place[inputs.question],
        inputs.match,
    )
    with torch.inference_mode():
        for found, wanted in zip(network(*shuffled), network(*inputs), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_unknown_words_have_one_trained_vector_and_padding_is_not_trained(make_network, make_inputs):
    network, inputs = make_network(), make_inputs()
    words = inputs.words.clone()
    words[5] = 1
    network(*inputs._replace(words=words)).start.sum().backward()

    assert network.embedding.unknown.grad.abs().sum() > 0
    assert (network.embedding.characters.characters.weight.grad[0] == 0).all()


def test_vectors_of_unknown_words_are_not_read(make_network, make_inputs):
    network, inputs = make_network(), make_inputs()
    words = inputs.words.clone()
    words[5] = 1
    changed = inputs.vectors.clone()
    changed[5] = 100
    with torch.inference_mode():
        found = network(*inputs._replace(words=words, vectors=changed))
        wanted = network(*inputs._replace(words=words))
    assert torch.equal(found.start, wanted.start)


def test_trained_words_replace_the_vectors_of_the_batch(make_network, make_inputs):
    network, inputs = make_network(num_words=12), make_inputs()
    with torch.inference_mode():
        found = network(*inputs._replace(vectors=torch.zeros_like(inputs.vectors)))
        wanted = network(*inputs)
    assert torch.equal(found.start, wanted.start)
    assert network.embedding.unknown is None


def test_the_match_feature_matters_where_it_is_on(make_network, make_inputs, variants):
    inputs = make_inputs()
    other = inputs._replace(match=1 - inputs.match)
    with torch.inference_mode():
        for name, is_on in (("match feature", True), ("plain", False)):
            network = make_network(variants[name])
            assert (not torch.equal(network(*inputs).start, network(*other).start)) == is_on


def test_one_encoding_of_a_passage_serves_many_questions(make_network, make_inputs, variants):
    network, inputs = make_network(variants["no answer"]), make_inputs()
    passage = inputs.passage[:1].expand(2, -1)
    with torch.inference_mode():
        wanted = network(*inputs._replace(passage=passage))
        table = network.embedding.table(inputs.words, inputs.vectors, inputs.characters)
        encoded = network.encode_passage(table, inputs.passage[:1], inputs.match[:1])
        expanded = type(encoded)(*(part.expand(2, *part.shape[1:]) for part in encoded))
        found = network.answer(expanded, network.encode_question(table, inputs.question))
    torch.testing.assert_close(found.start, wanted.start, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.end, wanted.end, atol=1e-5, rtol=1e-5)


def test_start_is_read_from_passes_one_and_two_and_end_from_one_and_three(make_network, make_inputs):
    network, inputs = make_network(), make_inputs()
    passes = []
    network.model_encoder.register_forward_hook(lambda _, __, output: passes.append(output))
    with torch.inference_mode():
        logits = network(*inputs)
        start = network.start(torch.cat([passes[0], passes[1]], dim=2)).squeeze(2)
        end = network.end(torch.cat([passes[0], passes[2]], dim=2)).squeeze(2)
    present = inputs.passage != 0
    torch.testing.assert_close(logits.start[present], start[present])
    torch.testing.assert_close(logits.end[present], end[present])
    assert len(passes) == 3


def test_attention_to_the_question_is_over_its_words_alone(make_network, make_inputs, variants):
    network, inputs = make_network(variants["no answer"]), make_inputs()

    weights = network.attention_to_question(inputs)

    assert weights.shape == (2, 9, 4)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 9))
    assert (weights[1, :, 2:] == 0).all()


def test_the_second_hop_equals_the_product_over_all_pairs_of_passage_words(make_network):
    network, generator = make_network(), torch.Generator().manual_seed(0)
    c, q = torch.randn(2, 6, 8, generator=generator), torch.randn(2, 3, 8, generator=generator)
    present_c, present_q = torch.ones(2, 6, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    present_c[1, 4:], present_q[1, 2:] = False, False
    w1, w2, w3 = network.attention.weight
    pairs = torch.stack(
        [
            torch.cat([c[b, i], q[b, j], c[b, i] * q[b, j]]) @ torch.cat([w1, w2, w3])
            for b in range(2)
            for i in range(6)
            for j in range(3)
        ]
    ).view(2, 6, 3)
    s1 = pairs.masked_fill(~present_q.unsqueeze(1), -torch.inf).softmax(2)
    s2 = pairs.masked_fill(~present_c.unsqueeze(2), -torch.inf).softmax(1)
    wanted = torch.cat([c, s1 @ q, c * (s1 @ q), c * ((s1 @ s2.transpose(1, 2)) @ c)], dim=2)

    found = network.attention(Encoded(c, present_c), Encoded(q, present_q))

    torch.testing.assert_close(found, wanted)


def test_positions_are_sines_then_cosines():
    found = Positions(8)(torch.zeros(1, 5, 8))

    for place in range(5):
        angles = [place * 10_000 ** (-i / 3) for i in range(4)]
        wanted = torch.tensor([*map(math.sin, angles), *map(math.cos, angles)])
        torch.testing.assert_close(found[place], wanted)


def test_self_attention_equals_the_form_with_all_pairs():
    torch.manual_seed(0)
    layer = SelfAttention(8, 2, output_projection=True, dropout=0.0)
    x, present = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True, True, False, False, False]])
    queries, keys, values = (
        part.unflatten(2, (2, 4)).transpose(1, 2) for part in layer.queries_keys_values(x).chunk(3, 2)
    )
    weights = (queries @ keys.transpose(2, 3) / 2).masked_fill(~present[:, None, None], -torch.inf).softmax(3)
    wanted = layer.output((weights @ values).transpose(1, 2).flatten(2))

    torch.testing.assert_close(layer(x, present), wanted)


def test_a_skipped_sublayer_is_not_computed():
    calls = []
    operation = torch.nn.Identity()
    operation.forward = lambda x, _: calls.append(1) or x
    sublayer = Sublayer(operation, 4, skip=0.3, rescale=True, before=0.0, after=0.0)
    x, present = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    torch.manual_seed(0)
    results = [sublayer(x, present) for _ in range(1000)]

    unchanged = sum(torch.equal(result, x) for result in results)
    assert unchanged == 1000 - len(calls)
    assert 250 < unchanged < 350
    kept = next(result for result in results if not torch.equal(result, x))
    torch.testing.assert_close(kept, x + sublayer.norm(x) / 0.7)


def test_the_expected_change_of_a_rescaled_sublayer_is_that_of_evaluation():
    operation = torch.nn.Identity()
    operation.forward = lambda x, _: x
    sublayer = Sublayer(operation, 4, skip=0.3, rescale=True, before=0.0, after=0.0)
    x, present = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    torch.manual_seed(0)
    mean = torch.stack([sublayer(x, present) for _ in range(4000)]).mean(0)

    torch.testing.assert_close(mean, sublayer.eval()(x, present), atol=0.1, rtol=0)


def test_without_rescaling_a_kept_sublayer_is_that_of_evaluation():
    operation = torch.nn.Identity()
    operation.forward = lambda x, _: x
    sublayer = Sublayer(operation, 4, skip=0.01, rescale=False, before=0.0, after=0.0)
    x, present = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    torch.manual_seed(0)

    torch.testing.assert_close(sublayer(x, present), x + sublayer.norm(x))


@pytest.mark.parametrize(("variant", "words_in_reach"), [("no self-attention", 7), ("plain", 11)])
def test_without_self_attention_a_word_sees_what_convolutions_reach(variant, words_in_reach, make_network, variants):
    stack = replace(variants[variant].embedding_encoder, convolutions=3, kernel=3)
    encoder = make_network(replace(variants[variant], embedding_encoder=stack)).embedding_encoder
    x = torch.randn(1, 11, 8, requires_grad=True)

    encoder(x, torch.ones(1, 11, dtype=torch.bool))[0, 5].sum().backward()

    assert int((x.grad.abs().sum(2) > 0).sum()) == words_in_reach


def test_the_chance_to_be_skipped_grows_over_the_whole_encoder():
    network = qanet(100)

    skips = [sublayer.skip for block in network.model_encoder.blocks for sublayer in block]
    embedding_skips = [sublayer.skip for sublayer in network.embedding_encoder.blocks[0]]

    assert skips == pytest.approx([0.1 * depth / 28 for depth in range(1, 29)])
    assert embedding_skips == pytest.approx([0.1 * depth / 6 for depth in range(1, 7)])


def test_training_draws_other_sublayers_each_time_and_gives_finite_gradients(make_network, make_inputs, variants):
    network, inputs = make_network(variants["dropout"]).train(), make_inputs()
    torch.manual_seed(0)
    counts = Counter()
    for sublayer in network.model_encoder.blocks[1]:
        sublayer.operation.register_forward_hook(lambda module, *_: counts.update([id(module)]))
    for _ in range(40):
        network(*inputs).start.sum().backward()
    assert 0 < min(counts.values()) <= max(counts.values()) < 120
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


def test_characters_are_read_by_convolution_then_the_maximum():
    torch.manual_seed(0)
    layer = CharacterFeatures(10, 3, features=4, convolution=True, dropout=0.0)
    letters = torch.randint(0, 10, (6, 16))
    vectors = layer.characters(letters)
    windows = torch.stack([vectors[:, i : i + 5] for i in range(12)], dim=1)  # (V, 12, 5, c)
    wanted = torch.relu(torch.einsum("vpkc,fck->vpf", windows, layer.convolution.weight) + layer.convolution.bias)

    torch.testing.assert_close(layer(letters), wanted.amax(1))


def test_words_of_fewer_characters_than_the_convolution_sees_are_refused(make_network, make_inputs):
    inputs = make_inputs()

    with pytest.raises(ValueError, match=r"words must be padded to 5 characters or more .*, got 4"):
        make_network()(*inputs._replace(characters=inputs.characters[:, :4]))


def test_characters_are_read_once_per_distinct_word(make_network, make_inputs):
    network, inputs = make_network(), make_inputs()
    shapes = []
    network.embedding.characters.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))

    network(*inputs)

    assert shapes == [(12, 5)]


def test_bfloat16_gives_single_precision_logits_that_are_near(make_network, make_inputs):
    network, inputs = make_network(), make_inputs()
    with torch.inference_mode():
        wanted = network(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(*inputs)
    assert found.start.dtype == torch.float32
    present = inputs.passage != 0
    torch.testing.assert_close(found.start[present], wanted.start[present], atol=0.1, rtol=0.1)


def test_a_saved_network_comes_back(options, make_network, make_inputs, tmp_path):
    network, inputs = make_network(options), make_inputs()
    save_network(tmp_path / "model.safetensors", network)

    loaded = load_network(tmp_path / "model.safetensors", {"qanet": rebuild_qanet})

    assert loaded.options == options
    assert torch.equal(loaded(*inputs).end, network(*inputs).end)


def test_steps_lower_the_loss(make_network, make_inputs, options):
    network, inputs = make_network(options).train(), make_inputs()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    target = torch.tensor([3, 1])
    losses = []
    for _ in range(25):
        logits = network(*inputs)
        loss = F.cross_entropy(logits.start, target) + F.cross_entropy(logits.end, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderOptions(1, 2, 4), "kernel must be odd, so that a word sees as far to either side, got 4"),
        (lambda: EncoderOptions(0, 2, 5), "blocks must be at least 1, got 0"),
        (lambda: DropoutOptions(words=1.0), r"words is a share left out and must be in \[0, 1\), got 1.0"),
        (lambda: replace(PRESETS["qanet"], heads=3), "multiple of heads, got 128 with 3 heads"),
        (
            lambda: replace(PRESETS["qanet"].embedding, character_convolution=False, character_dim=64),
            "got character_features=200 and character_dim=64: make them equal",
        ),
        (
            lambda: replace(PRESETS["qanet"].embedding, highway="after"),
            "highway must be one of projected, concatenated, between, got 'after'",
        ),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
