"""What the merged pass of BlockDrop's policy training is worth against the published way, on this machine.

    python benchmarks/blockdrop_training.py

Times, in turn in one run, the frozen passes of a step of stage 1, for the sampled and the greedy decisions of a batch:
two that compute every block and mask, as published, two that compute only kept rows, and one over both decisions that
shares the stem. Decisions are random, each block kept with the same probability.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from modicum.classify.backbones import create_backbone
from modicum.classify.blockdrop.losses import bounded, entropies, log_probabilities, policy_losses
from modicum.classify.blockdrop.network import BlockDrop
from modicum.measuring.timing import time_in_turn


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backbone", default="cifar_resnet110_pool", help="A CIFAR ResNet by its name.")
    parser.add_argument("--batch", type=int, default=256, help="Images per step.")
    parser.add_argument("--kept", type=float, default=0.5, help="Probability of keeping a block.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = BlockDrop(create_backbone(options.backbone, 10), num_classes=10)
    network.to(memory_format=torch.channels_last)
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    keep = torch.rand(2 * options.batch, len(network.blocks)) < options.kept
    seconds = time_in_turn(ways(network, images, keep), rounds=options.rounds)
    device = f"{options.threads} thread(s), batch {options.batch}, {options.kept:.0%} of the blocks kept"
    print(f"{options.backbone}, {device}\n\n| way | frozen passes, ms | of published | whole step, ms | of published |")
    print("| --- | --- | --- | --- | --- |")
    for way in ("two masked passes", "two selected passes", "one merged pass"):
        passes, step = (1000 * seconds[f"{way}, {part}"] for part in ("passes", "step"))
        shares = (
            passes / (1000 * seconds["two masked passes, passes"]),
            step / (1000 * seconds["two masked passes, step"]),
        )
        print(f"| {way} | {passes:.0f} | {shares[0]:.2f} | {step:.0f} | {shares[1]:.2f} |")


def ways(network: BlockDrop, images: Tensor, keep: Tensor) -> dict[str, Callable[[], object]]:
    """The frozen passes of a step by each way, alone and within the whole step.

    Args:
        network: Its backbone is put in evaluation mode.
        images: Shape (B, 3, S, S).
        keep: Shape (2 * B, U), bool: the sampled decisions, then the greedy ones.
    """
    network.train()
    network.backbone.eval()
    optimizer = torch.optim.Adam(network.policy_network.parameters())
    sampled, greedy = keep.chunk(2)

    def two(form: str) -> Tensor:
        return torch.cat([network.run(images, part, form=form) for part in (sampled, greedy)])  # type: ignore[arg-type]  # a form

    passes: dict[str, Callable[[], Tensor]] = {
        "two masked passes": lambda: two("masked"),
        "two selected passes": lambda: two("selected"),
        "one merged pass": lambda: network.run(images, keep, copies=2),
    }

    def frozen(run: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad():
            return run()

    def step(run: Callable[[], Tensor]) -> None:
        p = bounded(network.scores(images), 0.8)
        rewarded, compared = frozen(run).amax(dim=1).chunk(2)  # stands for the rewards, whose cost is nothing
        free = torch.ones(p.shape[1], dtype=torch.bool)
        losses = policy_losses(rewarded - compared, log_probabilities(sampled, p, free)) - 0.1 * entropies(p, "full")
        optimizer.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()

    timed: dict[str, Callable[[], object]] = {}
    for name, run in passes.items():
        timed[f"{name}, passes"] = lambda run=run: frozen(run)  # type: ignore[misc]  # mypy does not type defaults
        timed[f"{name}, step"] = lambda run=run: step(run)  # type: ignore[misc]  # the same
    return timed


if __name__ == "__main__":
    main()
