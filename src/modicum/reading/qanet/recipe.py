"""What can be chosen about training a QANet; defaults are the published training, without augmentation."""

from dataclasses import dataclass, field
from typing import Literal

from modicum.reading.qanet.options import NetworkOptions
from modicum.reading.recipe import AdamOptions, AugmentationOptions, TextOptions
from modicum.storage.counting import counted
from modicum.training.recipe import TrainerOptions, require, require_decay, require_unused_allowed


@dataclass(frozen=True)
class QANetRecipe:
    """One stage trains the network to point at the first and the last word of the answer.

    Attributes:
        data: A file of questions: SQuAD's JSON of any version, or rows of context, question and answers as JSON, JSON
            lines, CSV or Parquet; or a folder with one for train, and further ones for dev and test where there are.
            None is the embedded default, a procedural look-up task.
        vectors: Pretrained word vectors: a GloVe, word2vec or fastText file. Where they have fewer dimensions than
            ``network.embedding.word_dim``, random ones fill the rest.
        vector_cache: A folder in which to keep what was read of such files, memory-mapped, for further runs on the same
            data; None reads them each time.
        words: What vectors are where there is no file: "random" fixed ones, equal for equal words; "trained" ones, for
            tens of thousands of questions; or "skip-gram", learnt from the passages before the training.
        network: The network; it is given an answer for "no answer" where the data have such questions.
        text: How text becomes batches.
        augmentation: Paraphrases to train on, too.
        epochs: Passes over the training questions.
        optimizer: How weights follow gradients.
        ema_decay: Average the weights exponentially with this decay, which warms up; None for off.
        baselines: Also train a reader with LSTMs alike, and a logistic regression, to compare with.
        trainer: Devices and precision. Several devices need trainer.strategy "ddp_find_unused_parameters_true", unless
            layer dropout is off.
        seed: Of everything random.
    """

    data: str | None = None
    vectors: str | None = None
    vector_cache: str | None = None
    words: Literal["random", "trained", "skip-gram"] = "random"
    network: NetworkOptions = field(default_factory=NetworkOptions)
    text: TextOptions = field(default_factory=TextOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    epochs: int = 55  # about 150,000 steps on SQuAD 1.1
    optimizer: AdamOptions = field(default_factory=AdamOptions)
    ema_decay: float | None = 0.9999
    baselines: bool = True
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require_decay(self.ema_decay)
        alone = self.vectors is None or self.words == "random"
        require(alone, "words", "left out where a file of vectors is given", self.words)
        if self.network.dropout.layer_dropout > 0:
            require_unused_allowed(self.trainer, "layer dropout skips some of the weights in each step")

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        network, text, augmentation = self.network, self.text, self.augmentation
        blocks = counted(network.model_encoder.blocks, "model block")
        match = ", told which words occur in the question" if network.embedding.match_feature else ""
        return {
            "Network": f"{network.width} features, {counted(network.heads, 'head')}, {blocks}{match}",
            "Word vectors": self.vectors or self.words,
            "Training": f"{counted(self.epochs, 'epoch')}, batches of at most {counted(text.batch_size, 'question')}",
            "Limits": f"passages of {text.passage_tokens} tokens, answers of {text.answer_tokens}",
            "Augmentation": ", ".join([*augmentation.files, *["rules"] * augmentation.rules]) or "none",
            "Seed": str(self.seed),
        }
