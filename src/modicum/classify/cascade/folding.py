"""Prepares a cascade for prediction: the same answers, in less time."""

import copy

import torch
from torch import nn

from modicum.classify.cascade.network import TrunkCascade
from modicum.classify.exiting import ExitingClassifier
from modicum.exporting.folding import fold_batch_norms


def fold_cascade(network: ExitingClassifier) -> ExitingClassifier:
    """Folds a cascade of sizes and exits, see `fold_trunk`; one of given networks is returned as it is."""
    return fold_trunk(network) if isinstance(network, TrunkCascade) else network


def fold_trunk(network: TrunkCascade) -> TrunkCascade:
    """Returns a copy whose trunk has its batch normalisation folded into convolutions, channels innermost.

    Answers differ by rounding. The copy's plain network is prepared alike. It is for prediction alone: its weights do
    not load into a cascade that is built anew.

    Args:
        network: On any device, in any mode.
    """
    folded = copy.deepcopy(network).eval()
    folded.trunk.pieces = nn.ModuleList(fold_batch_norms(piece) for piece in network.trunk.pieces)
    return folded.to(memory_format=torch.channels_last)
