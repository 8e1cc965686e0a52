"""From a recipe to a trained QANet in a run folder, and a reader with LSTMs beside it that was trained alike."""

from dataclasses import replace
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from modicum.datasets.loaders import derive_seed
from modicum.reading.data.splits import Parts
from modicum.reading.evaluation import BASELINE, baseline_path, tune_margin
from modicum.reading.lstm_readers import BIDAF_DROPOUT, LstmReader
from modicum.reading.preparation import (
    WORDS_NOTE,
    TrainingBatches,
    Words,
    open_parts,
    prepare_words,
    reading_batches,
    training_batches,
)
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reading.readers import make_reader
from modicum.reading.training import ReadingStage
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.training.fitting import Fitting
from modicum.training.stages import Loaders, Stage

STAGE = "reading"
BIDAF_WIDTH, BIDAF_LAYERS = 100, 2  # of the reader that QANet's authors compare with


def fit(recipe: QANetRecipe, run: RunFolder) -> QANet:
    """Trains the network, leaving weights, words, parts, logs and the baseline in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If questions or vectors cannot be used.
        RecipeError: If the network cannot be built.
        MissingExtraError: If a package is not installed that tokenizer or vectors need.
    """
    data, fitting = _Data(recipe, run), Fitting(run, recipe.trainer, recipe.seed, planned_epochs(recipe))
    with fitting.seeded():
        network = data.build_network()
    fitting.run_stage(data.stage(STAGE, network))
    network.eval()
    if recipe.baselines:
        with fitting.seeded("baseline"):
            reader = data.build_baseline()
        fitting.run_stage(data.stage(BASELINE, reader))
        data.save(fitting, baseline_path(run), reader.eval())
    data.save(fitting, run.weights, network)
    return network


def planned_epochs(recipe: QANetRecipe) -> dict[str, int]:
    """Returns the stages of a training in their order, with the epochs of each."""
    return dict.fromkeys((STAGE, BASELINE) if recipe.baselines else (STAGE,), recipe.epochs)


class _Data:
    """The data of one training, and what follows from them: its networks, its stages, what is saved of them."""

    def __init__(self, recipe: QANetRecipe, run: RunFolder) -> None:
        self.recipe = recipe
        self.parts, self.source = open_parts(recipe, run)
        self.words = prepare_words(recipe, recipe.network.embedding.word_dim, self.parts, run)
        self.has_no_answer = recipe.network.no_answer or _has_impossible(self.parts)
        self.collator = self.words.collator(recipe.text, has_no_answer=self.has_no_answer)
        self._batches: TrainingBatches | None = None

    def build_network(self) -> QANet:
        options = replace(self.recipe.network, no_answer=self.has_no_answer)
        return QANet(options, num_characters=self.words.vocabulary.num_characters, num_words=self._num_words)

    def build_baseline(self) -> LstmReader:
        return LstmReader(
            self.recipe.network.embedding,
            BIDAF_WIDTH,
            layers=BIDAF_LAYERS,
            dropout=BIDAF_DROPOUT,
            num_characters=self.words.vocabulary.num_characters,
            num_words=self._num_words,
            no_answer=self.has_no_answer,
        )

    @property
    def _num_words(self) -> int | None:
        return self.words.vocabulary.num_words if self.recipe.words == "trained" else None

    def stage(self, name: str, network: QANet | LstmReader) -> Stage:
        recipe = self.recipe
        module = ReadingStage(
            network,
            optimizer=recipe.optimizer,
            answer_tokens=recipe.text.answer_tokens,
            watched=self.parts.calibration,
        )
        return Stage(name, module, self._loaders(), recipe.epochs, "val/f1", recipe.ema_decay, ema_warms_up=True)

    def _loaders(self) -> Loaders:
        return Loaders(
            lambda epoch, rank, world_size: self._training().loader(epoch, rank, world_size),
            lambda: reading_batches(self.parts.calibration, self.recipe.text, self.collator),
        )

    def _training(self) -> TrainingBatches:
        """Returns the batches of the training, made at first use: a finished stage does without them."""
        if self._batches is None:
            seed = derive_seed(self.recipe.seed, "batches") % 2**31
            self._batches = training_batches(self.recipe, self.parts.train, self.collator, seed)
        return self._batches

    @rank_zero_only
    def save(self, fitting: Fitting, path: Path, network: QANet | LstmReader) -> None:
        """Writes a trained network with the margin by which its answers must beat "no answer"."""
        reader = make_reader(network, self.collator, self.recipe.text)
        margin = tune_margin(reader, self.parts.calibration, self.recipe.text) if self.has_no_answer else None
        notes: dict[str, JSON] = {"data": self.source.name, "margin": margin}
        if path == fitting.run.weights:  # what its words are numbered by belongs to the weights, too
            notes[WORDS_NOTE] = Words.digest(fitting.run)
        fitting.save(path, network, notes)


def _has_impossible(parts: Parts) -> bool:
    return any(asked.question.impossible for asked in parts.train.asked())
