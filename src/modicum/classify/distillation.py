"""Learning from a trained network's answers, too (Hinton et al., *Distilling Knowledge in a Neural Network*, 2015)."""

# B batch, K classes
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.classify.data.loading import Batch

TEMPERATURE = 4.0  # of both soft-maxes: a trained network is so sure of its training images that 1 would hide the rest


class AnswerLoss(nn.Module):
    """What a classifier's answers cost in training: cross-entropy and, with a teacher, their distance from its answers.

    Args:
        teacher: From images (B, 3, S, S) to logits (B, K); it is never trained, and evaluated whatever the mode of
            the module that holds this one. None for cross-entropy alone.
        weight: Of the distance, T^2 KL(teacher || student) at temperature T = `TEMPERATURE`.

    Raises:
        ValueError: If there is a weight, but no teacher.
    """

    def __init__(self, teacher: nn.Module | None = None, weight: float = 0.0) -> None:
        super().__init__()
        if weight and teacher is None:
            raise ValueError(f"a distillation of weight {weight} needs a teacher")
        self.teacher = teacher.requires_grad_(False) if teacher is not None and weight else None
        self.weight = weight

    def forward(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the mean loss over a batch of logits (B, K)."""
        loss = F.cross_entropy(logits, batch.labels)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher.eval()(batch.images)
        distance = F.kl_div(
            (logits.float() / TEMPERATURE).log_softmax(1),
            (taught.float() / TEMPERATURE).log_softmax(1),
            log_target=True,
            reduction="batchmean",
        )
        return loss + self.weight * TEMPERATURE**2 * distance
