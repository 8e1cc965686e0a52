import math
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from modicum.reading.data.squad import read_squad, write_squad
from modicum.reading.evaluation import baseline_path, load_baseline, read_margin
from modicum.reading.preparation import Words, open_parts, training_batches
from modicum.reading.qanet.fitting import fit
from modicum.reading.qanet.network import rebuild_qanet
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reading.training import span_loss
from modicum.recipes import build_recipe
from modicum.storage.errors import DataError, DivergedError
from modicum.storage.files import read_json_object, read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network


def new_run(path):
    return RunFolder.create(path, system="qanet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(quick_options):
    return build_recipe(QANetRecipe, quick_options)


@pytest.fixture(scope="module")
def trained(quick_training):
    """The network of the quick training as it is loaded, and its run folder."""
    run, _ = quick_training
    return load_network(run.weights, {"qanet": rebuild_qanet}), run


def rows_of(run, stage, figure):
    return [row[figure] for row in read_jsonl(run.metrics) if row["stage"] == stage and figure in row]


def test_saved_network_is_the_trained_one(trained, quick_training):
    network, _ = trained
    torch.testing.assert_close(dict(network.state_dict()), quick_training[1], rtol=0, atol=0)
    assert not network.training


def test_run_records_which_question_is_for_what(trained, lookup_folder):
    parts = read_json_object(trained[1].splits)
    for part, name in (("train", "train"), ("calibration", "dev"), ("test", "test")):
        corpus = read_squad(lookup_folder / f"{name}.json").corpus
        assert parts[part] == [asked.question.id for asked in corpus.asked()]


def test_run_keeps_the_words_that_prediction_needs(trained, recipe):
    words = Words.load(trained[1])
    assert words.vocabulary.num_characters == trained[0].num_characters
    assert words.vectors.dimension == recipe.network.embedding.word_dim


def test_both_stages_are_watched_in_every_epoch(trained):
    run = trained[1]
    assert run.finished_stages() == ["reading", "lstm"]
    for stage in ("reading", "lstm"):
        assert all(0 <= f1 <= 100 for f1 in rows_of(run, stage, "val/f1"))
        assert len(rows_of(run, stage, "val/exact")) == 3


@torch.inference_mode()
def loss_of(network, batches):
    losses = [span_loss(network(*batch.inputs), batch.start, batch.end) for batch in batches.loader(0)]
    return float(torch.stack(losses).mean())


def test_training_lowers_the_loss_of_all_questions(trained, recipe):
    """Not that of a batch, which depends on how long its passages are."""
    network, run = trained
    collator = Words.load(run).collator(recipe.text, has_no_answer=False)
    batches = training_batches(recipe, open_parts(recipe, run)[0].train, collator, seed=0)
    torch.manual_seed(0)
    untrained = rebuild_qanet(**network.storage_config()).eval()
    assert loss_of(network, batches) < loss_of(untrained, batches) - 0.1


def test_reader_with_lstms_is_left_beside_the_network(trained):
    assert baseline_path(trained[1]).is_file()
    assert not load_baseline(trained[1]).training


def test_finished_run_is_not_trained_again(trained, recipe, tmp_path):
    network, run = trained[0], RunFolder(shutil.copytree(trained[1].path, tmp_path / "run"))
    lines = run.metrics.read_text()
    again = fit(recipe, run)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert run.metrics.read_text() == lines


def test_network_that_always_answers_has_no_margin(trained):
    assert not trained[0].has_no_answer
    assert read_margin(trained[1].weights) == 0


def test_no_baseline_is_trained_where_none_is_wanted(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    fit(replace(recipe, epochs=1, baselines=False), run)
    assert run.finished_stages() == ["reading"]
    assert load_baseline(run) is None


def test_data_with_impossible_questions_make_a_network_that_may_say_so(recipe, unanswerable_folder, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(recipe, data=str(unanswerable_folder), epochs=1), run)
    assert network.has_no_answer
    assert load_baseline(run).has_no_answer
    assert not math.isnan(read_margin(run.weights))
    assert "margin" not in run.recipe.read_text()


def test_words_may_be_trained_with_the_network(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(recipe, words="trained", epochs=1, baselines=False), run)
    assert network.num_words == Words.load(run).vocabulary.num_words


def test_vectors_of_a_file_are_filled_up_with_random_dimensions(recipe, tmp_path):
    (tmp_path / "vectors.txt").write_text("the 1 2 3\nking 4 5 6\n")
    run = new_run(tmp_path / "run")
    fit(replace(recipe, vectors=str(tmp_path / "vectors.txt"), epochs=1, baselines=False), run)
    found = Words.load(run).vectors.lookup(["king", "unseen"])
    assert found.vectors[0, :3].tolist() == [4, 5, 6]
    assert found.vectors.shape == (2, 8)
    assert found.known.all()


def test_file_without_paraphrases_of_the_training_is_refused(recipe, lookup_folder, tmp_path):
    corpus = read_squad(lookup_folder / "train.json").corpus
    write_squad(tmp_path / "other.json", corpus)
    augmented = replace(recipe.augmentation, files=(str(tmp_path / "other.json"),))
    with pytest.raises(DataError, match=r"other\.json has no paraphrase of the training's questions"):
        fit(replace(recipe, augmentation=augmented, epochs=1), new_run(tmp_path / "run"))


def test_diverged_training_says_so(recipe, tmp_path):
    wild = replace(recipe.optimizer, learning_rate=1e30, gradient_clip=None, warmup_steps=0)
    with pytest.raises(DivergedError, match="stage reading diverged"):
        fit(replace(recipe, optimizer=wild, epochs=1), new_run(tmp_path / "run"))


def test_training_without_averages_ends_with_the_raw_weights(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(recipe, ema_decay=None, epochs=1, baselines=False), run)
    assert set(load_file(run.weights)) == set(network.state_dict())
