import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.exporting.parity import ExportError
from modicum.reading.data.batches import Collator
from modicum.reading.data.corpus import Passage
from modicum.reading.data.examples import Example, tokenise
from modicum.reading.data.tokens import tokenize, tokenizer
from modicum.reading.data.vectors import HashedVectors, TrainedVectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.data.windows import windows
from modicum.reading.inputs import Logits
from modicum.reading.predictor import Predictor
from modicum.reading.qanet.export import check_export, export_qanet
from modicum.reading.qanet.options import EncoderOptions
from modicum.reading.qanet.runner import OnnxQANet, best_span
from modicum.reading.readers import make_reader
from modicum.reading.recipe import TextOptions
from modicum.reading.spans import best_spans
from modicum.storage.errors import RecipeError
from modicum.storage.sealing import read_sealed, write_sealed

TEXT = (
    "The treaty of Utrecht was signed in 1713. It ended a war; the city has had a museum of it since 1838, on Dom hill."
)
QUESTIONS = ("When was the treaty signed?", "What did it end?", "Which quux?")
VOCABULARY = Vocabulary(("the", "treaty", "of", "was", "war"), tuple("abcdefghijklmnop"))
SHORT = TextOptions(passage_tokens=9, stride=4, answer_tokens=3)
MARGIN = 0.1


def make_collator(network):
    vectors = TrainedVectors(VOCABULARY.words) if network.num_words else HashedVectors(6)
    return Collator(VOCABULARY, vectors, has_no_answer=network.has_no_answer)


@pytest.fixture(scope="module")
def exported(make_network, variants, tmp_path_factory):
    """A network with "no answer" and its export, which takes seconds: tests that change it copy it."""
    network = make_network(shallow(variants["no answer"]))
    folder = tmp_path_factory.mktemp("export") / "qanet"
    export_qanet(network, folder, collator=make_collator(network), text=SHORT, margin=MARGIN)
    return network, folder


def shallow(options, **changes):
    """One block of one convolution in each encoder."""
    block = EncoderOptions(blocks=1, convolutions=1, kernel=5)
    return replace(options, embedding_encoder=block, model_encoder=block, **changes)


def copied(folder, where, **details):
    """A copy of an export whose manifest has other details; None leaves one out."""
    shutil.copytree(folder, where)
    manifest = read_sealed(where / "manifest.json", remedy="")
    changed = manifest["details"] | details
    manifest["details"] = {name: value for name, value in changed.items() if value is not None}
    write_sealed(where / "manifest.json", manifest)
    return where


def test_the_export_gives_the_logits_of_the_network(exported):
    network, folder = exported

    assert check_export(network, folder, make_collator(network)) <= 1e-4


def test_a_network_that_reads_no_vectors_or_characters_is_exported_alike(make_network, variants, tmp_path):
    embedding = replace(variants["match feature"].embedding, character_dim=0)
    options = shallow(variants["leading pass"], embedding=embedding, output_projection=False)
    network = make_network(options, num_words=VOCABULARY.num_words)

    folder = export_qanet(network, tmp_path / "qanet", collator=make_collator(network), text=SHORT)

    assert check_export(network, folder, make_collator(network)) <= 1e-4
    assert OnnxQANet(folder, threads=1).answer(TEXT, QUESTIONS[0]).text in TEXT


@pytest.mark.parametrize("text", [TEXT, "Utrecht", "Dom square , 1838"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_those_of_the_predictor(exported, text, question):
    network, folder = exported
    reader = make_reader(network, make_collator(network), SHORT)
    wanted = Predictor(reader, tokenize, SHORT, margin=MARGIN)((text, question))

    found = OnnxQANet(folder, threads=1).answer(text, question)

    assert (found.text, found.start, found.end) == (wanted.text, wanted.start, wanted.end)
    assert found.probability == pytest.approx(wanted.probability, abs=1e-4)


@pytest.mark.parametrize("name", ["script", "characters", "regex"])
def test_text_is_cut_as_in_the_training_whatever_the_default_is(exported, tmp_path, name):
    network, folder = exported
    text = replace(SHORT, tokenizer=name)
    folder = copied(folder, tmp_path / "qanet", text=asdict(text))
    reader = make_reader(network, make_collator(network), text)
    asked = ("부산의 방앗간은 1800년에 민수가 지었다. 我是李明。", "누가 지었는가?")
    wanted = Predictor(reader, tokenizer(name), text, margin=MARGIN)(asked)

    runner = OnnxQANet(folder, threads=1)
    found = runner.answer(*asked)

    assert (found.text, found.start, found.end) == (wanted.text, wanted.start, wanted.end)
    assert runner.text.tokenizer == name


def test_rules_that_are_not_known_are_refused_in_one_line(exported, tmp_path):
    folder = copied(exported[1], tmp_path / "qanet", text=asdict(SHORT) | {"tokenizer": "newer"})
    with pytest.raises(RecipeError, match=r"text.tokenizer must be one of script, characters, regex, spacy, got newer"):
        OnnxQANet(folder)


def test_long_passages_are_read_in_windows_in_several_runs(exported):
    network, folder = exported
    text = " ".join([TEXT] * 8)
    reader = make_reader(network, make_collator(network), SHORT)
    wanted = Predictor(reader, tokenize, SHORT, margin=MARGIN)((text, QUESTIONS[0]))

    found = OnnxQANet(folder, threads=1).answer(text, QUESTIONS[0])

    assert (found.text, found.start, found.end) == (wanted.text, wanted.start, wanted.end)


def test_logits_are_equal_for_any_batch_and_length(exported):
    network, folder = exported
    runner, collator = OnnxQANet(folder, threads=1), make_collator(network)
    read = tokenise(Passage(TEXT, ()), tokenize)
    for size in (1, 2, 5):
        for length in (1, 2, 17):
            pieces = windows(len(read.tokens), length, 1)[:size]
            examples = [Example("q", read, piece, ("the", "war", "?")[: 1 + length % 3]) for piece in pieces]
            with torch.inference_mode():
                wanted = network(*collator(examples).inputs)
            for one, other in zip(runner.logits_of(examples), wanted, strict=True):
                np.testing.assert_allclose(one, other.numpy(), atol=1e-4)


@settings(deadline=None)
@given(length=st.integers(1, 30), longest=st.sampled_from([1, 3, 30]), seed=st.integers(0, 500))
def test_the_best_span_is_that_of_the_network_s_search(length, longest, seed):
    start, end = np.random.default_rng(seed).normal(size=(2, length)).astype(np.float32)

    found = best_span(start, end, longest)

    wanted = best_spans(Logits(torch.from_numpy(start)[None], torch.from_numpy(end)[None]), longest)
    assert (found.first, found.last) == (int(wanted.start), int(wanted.end))
    assert found.score == pytest.approx(float(wanted.score), abs=1e-6)


def test_no_answer_is_given_where_nothing_beats_it_by_the_margin(exported, tmp_path):
    folder = copied(exported[1], tmp_path / "never", margin=1e6)

    answer = OnnxQANet(folder, threads=1).answer(TEXT, QUESTIONS[0])

    assert answer[:3] == ("", None, None)
    assert 0 < answer.probability <= 1


@pytest.mark.parametrize(("passage", "question"), [(" \n", "What?"), (TEXT, "\t")])
def test_empty_texts_are_refused(exported, passage, question):
    with pytest.raises(ValueError, match="has no words"):
        OnnxQANet(exported[1], threads=1).answer(passage, question)


def test_a_folder_with_other_files_is_not_replaced(exported, tmp_path):
    network, folder = exported
    folder = copied(folder, tmp_path / "qanet")
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(ExportError, match=r"holds files that are no export, e\.g\. notes\.txt"):
        export_qanet(network, folder, collator=make_collator(network), text=SHORT)


def test_a_network_that_answers_otherwise_is_not_taken_for_the_exported_one(exported, make_network, variants):
    network, folder = exported
    other = make_network(shallow(variants["no answer"]), seed=1)

    with pytest.raises(ExportError, match="of the exported network differs by"):
        check_export(other, folder, make_collator(network))


def test_a_manifest_that_lacks_something_is_refused(exported, tmp_path):
    folder = copied(exported[1], tmp_path / "qanet", margin=None)

    with pytest.raises(ExportError, match="does not state margin"):
        OnnxQANet(folder)
