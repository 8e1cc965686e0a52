"""Rewards and losses of BlockDrop's policy (Wu et al., *BlockDrop*, 2018, section 3.2).

Each image is a bandit that is played once: the policy draws a keep-vector, the reward says how few blocks it needed to
be right, and the policy's own greedy decision is what the reward is compared with.
"""

# B batch, U droppable blocks
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

UsageName = Literal["blocks", "cost"]
EntropyName = Literal["full", "one_sided"]


def usage_shares(costs: Sequence[float], kind: UsageName) -> Tensor:
    """Returns the share of each block in the usage that the reward counts, (U,), adding up to 1.

    Args:
        costs: Multiply-adds of each block.
        kind: ``"blocks"`` weights all equally, |u| / U, as published; ``"cost"`` by their cost, sum u c / sum c.
    """
    weights = torch.tensor(costs, dtype=torch.float32)
    if kind == "blocks":
        weights = torch.ones_like(weights)
    return weights / weights.sum()


def rewards(is_right: Tensor, keep: Tensor, shares: Tensor, *, gamma: float) -> Tensor:
    """Returns R(u) = 1 - usage(u)^2 if the prediction with u is correct, else gamma: (B,).

    Args:
        is_right: Shape (B,), bool.
        keep: Shape (B, U), bool.
        shares: Shape (U,); see `usage_shares`.
        gamma: Reward of a wrong prediction, negative; the lower it is, the more blocks are kept.
    """
    usage = (keep * shares).sum(dim=1)
    return torch.where(is_right, 1 - usage.square(), torch.full_like(usage, gamma))


def bounded(probabilities: Tensor, alpha: float) -> Tensor:
    """Returns s' = alpha s + (1 - alpha)(1 - s), in [1 - alpha, alpha], so that every block keeps being tried."""
    return alpha * probabilities + (1 - alpha) * (1 - probabilities)


def log_probabilities(keep: Tensor, probabilities: Tensor, free: Tensor) -> Tensor:
    """Returns sum_t log p(u_t) over the free blocks: (B,).

    Args:
        keep: u (B, U), bool.
        probabilities: p (B, U), in (0, 1): of keeping each block.
        free: Shape (U,), bool; see `free_blocks`.
    """
    log_p = torch.where(keep, probabilities, 1 - probabilities).log()
    return (log_p * free).sum(dim=1)


def policy_losses(advantages: Tensor, log_p: Tensor) -> Tensor:
    """Returns -A log p(u), (B,), whose gradient is that of the expected reward, negated.

    Args:
        advantages: A = R(u) - R(greedy u), (B,): the self-critical baseline; no gradient flows into it.
        log_p: Of the drawn decisions, (B,).
    """
    return -advantages.detach() * log_p


def entropies(probabilities: Tensor, kind: EntropyName) -> Tensor:
    """Returns the entropy of the decisions on each image, in nats: (B,).

    Args:
        probabilities: p (B, U), in (0, 1).
        kind: ``"full"`` is sum_t -p log p - (1 - p) log(1 - p), highest at p = 1/2. ``"one_sided"`` leaves the second
            half out, as the authors' code does: highest at p = 1/e, it pushes towards dropping.
    """
    kept = -probabilities * probabilities.log()
    dropped = -(1 - probabilities) * (1 - probabilities).log()
    return (kept + dropped if kind == "full" else kept).sum(dim=1)


def free_blocks(num_blocks: int, epoch: int, epochs_per_block: float) -> Tensor:
    """Tells which blocks (U,), bool, the curriculum lets the policy drop in ``epoch`` (from 0); the others are kept.

    The last c blocks are free, c = min(U, ceil((1 + epoch) / epochs_per_block)).
    """
    count = min(num_blocks, -int(-(1 + epoch) // epochs_per_block))
    return torch.arange(num_blocks) >= num_blocks - count


def straight_through_gates(logits: Tensor, temperature: float) -> Tensor:
    """Samples gates (B, U), 0 or 1, whose gradient is that of the sigmoid with logistic noise.

    Forward: logit + noise >= 0, which keeps a block with the probability sigmoid(logit); backward:
    sigmoid((logit + noise) / temperature). This is the two-way Gumbel softmax (Jang et al., *Categorical
    Reparameterization with Gumbel-Softmax*, 2017).
    """
    uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)  # keeps the noise finite
    noisy = logits + uniform.logit()
    soft = torch.sigmoid(noisy / temperature)
    return (noisy >= 0).to(soft.dtype) + soft - soft.detach()


def excess_cost(gates: Tensor, costs: Tensor, target: float) -> Tensor:
    """Returns max(0, mean_batch sum_t g_t c_t - target) / sum_t c_t.

    Args:
        gates: g (B, U), in [0, 1].
        costs: c (U,), multiply-adds of each block.
        target: Mean multiply-adds of the blocks beyond which they are penalised.
    """
    mean_cost = (gates * costs).sum(dim=1).mean()  # no matrix product: autocast would overflow half precision
    return F.relu(mean_cost - target) / costs.sum()
