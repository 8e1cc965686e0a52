"""From a recipe to what training and evaluation read: parts of the questions, words with vectors, batches."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from modicum.datasets.contents import check_content, keep_content, sample_digest
from modicum.datasets.loaders import make_loader
from modicum.datasets.splits import Splits
from modicum.reading.augmentation.augment import augment
from modicum.reading.augmentation.mixing import mixing_ratios, mixing_weights
from modicum.reading.augmentation.rules import RuleParaphraser
from modicum.reading.data.batches import Collator, TokenBudgetSampler, length_batches
from modicum.reading.data.corpus import Corpus
from modicum.reading.data.examples import Example, crop_at_random, reading_examples, training_examples
from modicum.reading.data.opening import Source, open_source
from modicum.reading.data.splits import Parts, choose, divide, paraphrases_of, splits_of
from modicum.reading.data.squad import read_squad
from modicum.reading.data.tokens import Tokenizer, tokenizer
from modicum.reading.data.vector_sources import make_vectors, open_vectors
from modicum.reading.data.vector_storage import load_vectors, save_vectors
from modicum.reading.data.vectors import WordVectors
from modicum.reading.data.vocabulary import Vocabulary, count_words, make_vocabulary
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reading.recipe import AugmentationOptions, TextOptions
from modicum.storage.counting import counted
from modicum.storage.errors import DataError
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder

WORDS_NOTE = "words"  # of weights: the digest of the words that they were trained on
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    """What a run knows of words: it is kept in the run folder, and prediction needs no other file.

    Attributes:
        vocabulary: Words and characters of the training.
        vectors: Fixed vectors.
    """

    vocabulary: Vocabulary
    vectors: WordVectors

    def save(self, run: RunFolder) -> None:
        """Writes them into a run folder."""
        self.vocabulary.save(_folder(run) / "vocabulary.json")
        save_vectors(self.vectors, _folder(run))

    @classmethod
    def load(cls, run: RunFolder) -> "Words":
        """Reads what `save` wrote; raises `DataError` if it is not there or damaged."""
        return cls(Vocabulary.load(_folder(run) / "vocabulary.json"), load_vectors(_folder(run)))

    @staticmethod
    def are_kept(run: RunFolder) -> bool:
        """Tells whether a run folder holds complete words and vectors."""
        return (_folder(run) / "vectors.json").exists()  # what is written last

    @staticmethod
    def digest(run: RunFolder) -> str:
        """Returns a digest of the words and vectors that a run folder holds."""
        files = (_folder(run) / name for name in ("vocabulary.json", "vectors.json"))
        return sample_digest(*(file.read_bytes() for file in files))

    @classmethod
    def load_for_weights(cls, run: RunFolder) -> "Words":
        """Loads as `load` does, for the weights of the run; raises `DataError` if they were trained on other words."""
        words = cls.load(run)
        if read_header(run.weights).notes.get(WORDS_NOTE) not in (None, cls.digest(run)):
            raise DataError(f"{_folder(run)} are not the words that {run.weights} was trained on: put a copy back")
        return words

    def collator(self, text: TextOptions, *, has_no_answer: bool) -> Collator:
        """Returns a collator that makes batches of examples."""
        return Collator(self.vocabulary, self.vectors, text.word_characters, has_no_answer)


def open_parts(recipe: QANetRecipe, run: RunFolder) -> tuple[Parts, Source]:
    """Opens the questions of a run by part, and their source; the first time, divides them and keeps the split.

    Raises:
        DataError: If the questions cannot be used, or have changed since the run began.
    """
    text = recipe.text
    source = open_source(recipe.data, strict=text.strict, seed=recipe.seed)
    if run.splits.exists():
        splits = Splits.load(run.splits)
        parts = choose(splits, source.given, source.origin)
        check_content(run, splits.ids(), _digests(parts).__getitem__, source.name)
        return parts, source
    parts = divide(source.given, calibration=text.calibration_share, test=text.test_share, seed=recipe.seed)
    if run.path.is_dir():  # other processes than the first may be here before it has made the folder
        splits = splits_of(parts)
        keep_content(run, splits.ids(), _digests(parts).__getitem__)
        splits.save(run.splits)
    return parts, source


def _digests(parts: Parts) -> dict[str, str]:
    """Returns the digest of the passage, text and answers of each question, by its id."""
    digests = {}
    for corpus in parts:
        for passage, question in corpus.asked():
            answers = repr([(answer.text, answer.start) for answer in question.answers] + [question.impossible])
            texts = (passage.text, question.text, answers)
            digests[question.id] = sample_digest(*(text.encode("utf-8", "surrogatepass") for text in texts))
    return digests


def prepare_words(recipe: QANetRecipe, word_dim: int, parts: Parts, run: RunFolder) -> Words:
    """Loads the words and vectors that a run keeps, or makes new ones and keeps them.

    Args:
        recipe: Says where vectors come from.
        word_dim: Numbers per word.
        parts: The training part gives the vocabulary; vectors of a file are kept for the words of all parts.
        run: The run folder.

    Raises:
        DataError: If the file of vectors cannot be used.
        MissingExtraError: If a package that the vectors or the tokenizer need is not installed.
    """
    if Words.are_kept(run):
        return Words.load(run)
    cut = tokenizer(recipe.text.tokenizer)
    texts = texts_of(parts.train, cut)
    vocabulary = make_vocabulary(count_words(texts))
    if recipe.vectors is not None:
        counts = count_words([*texts, *texts_of(parts.calibration, cut), *texts_of(parts.test, cut)])
        vectors = open_vectors(recipe.vectors, counts, dimension=word_dim, cache=recipe.vector_cache, seed=recipe.seed)
    else:
        vectors = make_vectors(recipe.words, texts, vocabulary, dimension=word_dim, seed=recipe.seed)
    words = Words(vocabulary, vectors)
    if run.path.is_dir():
        words.save(run)
    return words


def texts_of(corpus: Corpus, cut: Tokenizer) -> list[list[str]]:
    """Splits each passage and each question into words."""
    texts = [text for passage in corpus.passages for text in (passage.text, *(each.text for each in passage.questions))]
    return [[token.text for token in cut(text)] for text in texts]


def with_paraphrases(train: Corpus, options: AugmentationOptions, seed: int) -> Corpus:
    """Returns the training part followed by the paraphrases of its own questions.

    Raises:
        DataError: If a file cannot be used, or has no paraphrase of these questions.
    """
    passages = list(train.passages)
    for file in options.files:
        found = paraphrases_of(read_squad(file).corpus, train)
        if not found.num_questions:
            raise DataError(f"{file} has no paraphrase of the training's questions: it must be made of the same data")
        passages += found.passages
    if options.rules:
        passages += augment(train, RuleParaphraser(seed=seed), seed=seed).corpus.passages
    return replace(train, passages=tuple(passages))


@dataclass(frozen=True)
class TrainingBatches:
    """What a reader is fitted on.

    Attributes:
        examples: One for each question that can be learnt from.
        weights: How likely each is drawn; None takes each once an epoch.
        text: How they become batches.
        collator: Makes the batches.
        seed: Seed of their order.
    """

    examples: Sequence[Example]
    weights: Sequence[float] | None
    text: TextOptions
    collator: Collator
    seed: int

    def loader(self, epoch: int, rank: int = 0, world_size: int = 1) -> DataLoader[Any]:
        """Returns the batches of an epoch for one rank."""
        sampler = TokenBudgetSampler(
            [len(example.window) for example in self.examples],
            max_tokens=self.text.batch_tokens,
            max_examples=self.text.batch_size,
            weights=self.weights,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        sampler.set_epoch(epoch)
        return _loader(self._shown(epoch), sampler, self.collator, self.text.num_workers)

    def _shown(self, epoch: int) -> Sequence[Example]:
        """Returns the examples with this epoch's windows; lengths stay the same, and all ranks get the same windows."""
        if not self.text.random_crop:
            return self.examples
        rng = np.random.default_rng((self.seed, epoch))
        return [crop_at_random(example, self.text.passage_tokens, rng) for example in self.examples]


def training_batches(recipe: QANetRecipe, train: Corpus, collator: Collator, seed: int) -> TrainingBatches:
    """Makes the batches of a training; logs what is left out, and why.

    Args:
        recipe: Says how text becomes batches, and what augments the original questions.
        train: The training part.
        collator: Makes the batches.
        seed: Seed of their order.

    Raises:
        DataError: If nothing can be learnt from the questions, or paraphrases cannot be used.
    """
    text, augmentation = recipe.text, recipe.augmentation
    corpus = with_paraphrases(train, augmentation, recipe.seed)
    examples, left_out = training_examples(corpus, tokenizer(text.tokenizer), text)
    for reason, count in left_out.items():
        _log.info("training: %s left out: %s", counted(count, "question"), reason)
    if not examples:
        raise DataError("no question can be learnt from: see the reasons in the log, and the limits of the recipe")
    weights = None
    if len(corpus.passages) > len(train.passages):
        origins = [example.passage.origin for example in examples]  # what was left out must not shift the ratio
        weights = mixing_weights(origins, mixing_ratios(origins, augmentation.ratio))
    return TrainingBatches(examples, weights, text, collator, seed)


def reading_batches(corpus: Corpus, text: TextOptions, collator: Collator) -> DataLoader[Any]:
    """Batches all windows of all questions of a corpus by similar length, to monitor a training."""
    examples = list(reading_examples(corpus, tokenizer(text.tokenizer), text))
    lengths = [len(example.window) for example in examples]
    order = sorted(range(len(examples)), key=lengths.__getitem__)
    limits = {"max_tokens": text.batch_tokens, "max_examples": 2 * text.batch_size}  # nothing is kept for gradients
    return _loader(examples, length_batches(order, lengths, **limits), collator, text.num_workers)


def _loader(
    examples: Sequence[Example], batches: Iterable[list[int]], collator: Collator, num_workers: int
) -> DataLoader[Any]:
    dataset: Any = examples  # any sequence will do
    return make_loader(dataset, num_workers=num_workers, batch_sampler=batches, collate_fn=collator)


def _folder(run: RunFolder) -> Path:
    return run.path / "words"
