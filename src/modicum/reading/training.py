"""The training of any reader as a Lightning module (Yu et al., *QANet*, ICLR 2018, sections 2.2 and 4.1)."""

# B pairs of passage and question, L passage words

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from modicum.reading.answering import Seen, look, merge
from modicum.reading.data.batches import Batch
from modicum.reading.data.corpus import Corpus
from modicum.reading.inputs import Logits
from modicum.reading.metrics import score
from modicum.reading.recipe import AdamOptions
from modicum.training.optimisers import build_optimizer, scheduled


class ReadingStage(LightningModule):
    """Passages and questions in, logits of start and end out, compared with the first and the last word of the answer.

    Args:
        network: From `modicum.reading.inputs.Inputs` to `Logits`.
        optimizer: How weights follow gradients.
        answer_tokens: Longest answer.
        watched: The questions of the validation batches.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        optimizer: AdamOptions,
        answer_tokens: int,
        watched: Corpus,
    ) -> None:
        super().__init__()
        self.network, self.options, self.answer_tokens, self.watched = network, optimizer, answer_tokens, watched
        self.has_no_answer = bool(network.has_no_answer)
        self.seen: dict[str, list[Seen]] = {}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Configures Adam with the weight penalty as part of the gradient, and the warm-up of the learning rate."""
        options = self.options
        parts = {"network": [weight for weight in self.network.parameters() if weight.requires_grad]}
        return scheduled(build_optimizer(options.general(), parts), lambda done: options.warmth(done + 1))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        loss = span_loss(self.network(*batch.inputs), batch.start, batch.end)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.start))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forgets the last validation."""
        self.seen.clear()

    def validation_step(self, batch: Batch, index: int) -> None:
        """Looks at a batch; a question may come in several windows."""
        logits = self.network(*batch.inputs)
        found = look(batch, logits, answer_tokens=self.answer_tokens, has_no_answer=self.has_no_answer)
        for example, seen in zip(batch.examples, found, strict=True):
            self.seen.setdefault(example.id, []).append(seen)

    def on_validation_epoch_end(self) -> None:
        """Logs exact match and F1 of the official script, in percent; the likelier of answer and "no answer" counts."""
        texts = {asked.question.id: asked.passage.text for asked in self.watched.asked()}
        answers = {name: merge(texts[name], windows).text(margin=0) for name, windows in self.seen.items()}
        scores = score(self.watched, answers).overall
        self.log("val/f1", scores.f1, prog_bar=True)
        self.log("val/exact", scores.exact, prog_bar=True)


def span_loss(logits: Logits, start: Tensor, end: Tensor) -> Tensor:
    """Returns the batch mean of the negative log probabilities of start and end, in single precision.

    Args:
        logits: The logits of the positions.
        start: (B,) int64, the right position of the first word.
        end: (B,) int64, the right position of the last word.
    """
    return F.cross_entropy(logits.start.float(), start) + F.cross_entropy(logits.end.float(), end)
