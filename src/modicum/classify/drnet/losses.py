"""The losses of DRNet (Zhu et al., *Dynamic Resolution Network*, 2021, section 3)."""

# B batch, R resolutions, K classes
import torch.nn.functional as F
from torch import Tensor

from modicum.training.recipe import Reduction


def multi_resolution_loss(
    logits: Tensor, labels: Tensor, *, distillation: float = 0.0, reduction: Reduction = "sum"
) -> Tensor:
    """Sums or averages the cross-entropy over the resolutions; each may also learn from the next larger one.

    Args:
        logits: Shape (B, R, K), largest resolution first.
        labels: Shape (B,).
        distillation: Weight of the divergence from each resolution's teacher, the next larger resolution, which gets
            no gradient from it (Wang et al., *Resolution Switchable Networks*, 2020, in its top-down form).
        reduction: "mean" divides the whole by R, so that the rate of a plain network suits any number of resolutions.
    """
    num_resolutions = logits.shape[1]
    share = num_resolutions if reduction == "mean" else 1
    loss = num_resolutions / share * F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(num_resolutions))
    if not distillation:
        return loss
    students, teachers = logits[:, 1:].log_softmax(2), logits[:, :-1].detach().log_softmax(2)
    divergence = F.kl_div(students, teachers, log_target=True, reduction="sum") / len(labels)
    return loss + distillation / share * divergence


def straight_through_choice(log_probabilities: Tensor, temperature: float) -> Tensor:
    """Samples a one-hot choice h (B, R) with the gradient of the softmax with Gumbel noise (equations 4 to 6).

    Forward: h = one_hot(argmax_j (log pi_j + g_j)), g Gumbel noise; backward: softmax_j((log pi_j + g_j) / tau).
    The paper prints the division by tau with misplaced brackets.
    """
    return F.gumbel_softmax(log_probabilities, tau=temperature, hard=True)


def cost_penalty(choice: Tensor, costs: Tensor, target: float) -> Tensor:
    """Returns max(0, (mean_batch F - alpha) / (C_max - C_min)) with F = sum_j C_j h_j (equation 8).

    Args:
        choice: h (B, R), one-hot in value.
        costs: C (R,), of the backbone at each resolution.
        target: alpha, the mean cost of the backbone alone beyond which compute is penalised; the paper's text has its
            effect the wrong way round, its table does not.
    """
    mean_costs = (choice * costs).sum(dim=1)  # no matrix product: autocast would overflow half precision
    return F.relu(mean_costs.mean() - target) / (costs.max() - costs.min())


def cheapest_correct(hits: Tensor, costs: Tensor) -> Tensor:
    """Returns the cheapest resolution that classifies each sample correctly, (B,), or the cheapest of all if none does.

    Args:
        hits: Shape (B, R), bool.
        costs: Shape (R,).
    """
    by_price = costs.argsort()
    return by_price[hits[:, by_price].int().argmax(dim=1)]  # argmax gives the first that is right, or the first
