"""Batch normalisation while blocks are dropped: held still, or by the images that keep the block."""

# B rows of the batch that reach a normalisation
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

LEAST_GROUP = 8  # a smaller group has too noisy batch statistics to train on


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    """Lists every batch normalisation in ``network``."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def hold_statistics(network: nn.Module) -> None:
    """Makes batch normalisation use its running statistics and leave them as they are."""
    for norm in batch_norms(network):
        norm.eval()


@contextmanager
def statistics_of_kept_rows(backbone: nn.Module, *, update: bool = True) -> Iterator[None]:
    """Normalises, inside the body, by the batch that reaches each normalisation, or as it has learnt if that is small.

    Those in evaluation mode stay so. Where a block is dropped for some images, the batch is those that keep it.

    Args:
        backbone: Whose normalisations are meant.
        update: Whether the running statistics take note.
    """
    norms = [norm for norm in batch_norms(backbone) if norm.training]
    momenta = [norm.momentum for norm in norms]

    def choose(norm: nn.Module, args: tuple[Tensor]) -> None:
        norm.train(len(args[0]) >= LEAST_GROUP)

    hooks = [norm.register_forward_pre_hook(choose) for norm in norms]
    try:
        for norm in norms if not update else []:
            norm.momentum = 0.0
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.train()
