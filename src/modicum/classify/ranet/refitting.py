"""Fits the exit rule of a trained RANet; apart from the training, because a guarantee fits it anew on fewer images."""

# N samples, E exits, K classes
import torch

from modicum.adaptive.evidence import Batches
from modicum.classify.ranet.network import RANet


def fit_exit_rule(network: RANet, batches: Batches) -> None:
    """Fits the exit rule on images and labels; their logits at every exit, N x E x K floats, are held in memory."""
    with torch.no_grad():
        rows = [(network.every_exit(images).float().cpu(), labels.cpu()) for images, labels in batches]
    logits, labels = (torch.cat(column) for column in zip(*rows, strict=True))
    network.fit_exits(logits, labels)
