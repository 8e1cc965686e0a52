"""What can be chosen about text and training for any reader; no torch here, so that help screens are instant."""

import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from modicum.training.recipe import OptimizerOptions, require

TokenizerName = Literal["script", "characters", "regex", "spacy"]
TOKENIZERS: tuple[str, ...] = get_args(TokenizerName)


@dataclass(frozen=True)
class TextOptions:
    """How passages and questions become batches.

    Attributes:
        tokenizer: What a reader can point at: "script" cuts words, and single characters in scripts that have no blanks
            between words and in Korean; "characters" cuts all to characters, for other languages whose answers end
            inside words; "regex" is "script" as it was before Korean had characters; "spacy" is brought by an extra.
        passage_tokens: Longest passage of the training, and of a window where a longer one is read.
        question_tokens: Longest question of the training; longer ones are left out of it.
        answer_tokens: Longest answer, in training and as the network's.
        word_characters: Characters that are looked at of each word.
        stride: Tokens from one window to the next.
        batch_size: Most questions in a batch of the training.
        batch_tokens: Most passage tokens in a batch of the training, padding included.
        num_workers: Processes that make batches; 0 makes them in the training process.
        calibration_share: Share of the articles kept for watching the training where the data do not say.
        test_share: Share of the articles kept for the test where the data do not say.
        random_crop: In each epoch of the training, show another window of a passage that is longer, at random around
            the answer; otherwise always the one with the most around it.
        unique_answers: Leave questions out of the training whose answer's text occurs several times in the passage.
        strict: Refuse data with faulty questions, instead of going on without them.
    """

    tokenizer: TokenizerName = "script"
    passage_tokens: int = 400
    question_tokens: int = 50
    answer_tokens: int = 30
    word_characters: int = 16
    stride: int = 128
    batch_size: int = 32
    batch_tokens: int = 12_800
    num_workers: int = 0
    calibration_share: float = 0.1
    test_share: float = 0.15
    random_crop: bool = False
    unique_answers: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        require(self.tokenizer in TOKENIZERS, "text.tokenizer", f"one of {', '.join(TOKENIZERS)}", self.tokenizer)
        for name in ("passage_tokens", "question_tokens", "answer_tokens", "word_characters", "stride", "batch_size"):
            require(getattr(self, name) >= 1, f"text.{name}", "at least 1", getattr(self, name))
        require(self.num_workers >= 0, "text.num_workers", "at least 0", self.num_workers)
        slides = self.stride <= self.passage_tokens
        require(slides, "text.stride", f"at most text.passage_tokens, {self.passage_tokens}", self.stride)
        holds = self.batch_tokens >= self.passage_tokens
        require(holds, "text.batch_tokens", f"at least text.passage_tokens, {self.passage_tokens}", self.batch_tokens)
        shares = min(self.calibration_share, self.test_share) > 0 and self.calibration_share + self.test_share < 1
        found = f"{self.calibration_share} and {self.test_share}"
        require(shares, "text.calibration_share and test_share", "above 0 and below 1 together", found)


@dataclass(frozen=True)
class AdamOptions:
    """Adam at a rate that becomes warm; defaults are the published ones.

    Attributes:
        learning_rate: Adam's, once it is warm.
        warmup: "log" rises as the logarithm of the step, which is at two thirds after a tenth of the steps; "linear".
        warmup_steps: Until the full rate; 0 for none.
        betas: Adam's.
        epsilon: Adam's.
        weight_decay: Added to the gradient as this times the weight, as part of the loss.
        gradient_clip: Greatest norm of the gradient of a step; None for any.
    """

    learning_rate: float = 1e-3
    warmup: Literal["log", "linear"] = "log"
    warmup_steps: int = 1000
    betas: tuple[float, float] = (0.8, 0.999)
    epsilon: float = 1e-7
    weight_decay: float = 3e-7
    gradient_clip: float | None = 5.0

    def __post_init__(self) -> None:
        require(self.warmup_steps >= 0, "optimizer.warmup_steps", "at least 0", self.warmup_steps)
        self.general()  # refuses what is impossible

    def general(self) -> OptimizerOptions:
        """Returns these options, but for the warm-up, as those of any optimiser."""
        stated = asdict(self)
        del stated["warmup"], stated["warmup_steps"]
        return OptimizerOptions("adam", **stated)

    def warmth(self, step: int) -> float:
        """Returns the factor on the learning rate at a step (from 1): in (0, 1], and 1 from about ``warmup_steps`` on.

        "log" is ln(t + 1) / ln(steps), the published rise (Yu et al., *QANet*, ICLR 2018, section 4.1).
        """
        if step >= self.warmup_steps:
            return 1.0
        if self.warmup == "linear":
            return step / self.warmup_steps
        return min(1.0, math.log(step + 1) / math.log(max(self.warmup_steps, 2)))


@dataclass(frozen=True)
class AugmentationOptions:
    """Paraphrases to train on beside what people wrote.

    Attributes:
        files: SQuAD JSON files of paraphrases, whose passages say where they come from.
        rules: Also paraphrase the training's passages by rules for English, which need no translator.
        ratio: How often to draw what people wrote for each draw from one source of paraphrases.
    """

    files: tuple[str, ...] = ()
    rules: bool = False
    ratio: float = 3.0

    def __post_init__(self) -> None:
        require(self.ratio > 0, "augmentation.ratio", "above 0", self.ratio)
