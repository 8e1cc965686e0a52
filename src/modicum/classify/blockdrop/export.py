"""Writes a trained BlockDrop as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph for the policy network, one per droppable block, one for each shortcut that computes anything, one for each
piece between them that always runs; see `modicum.classify.blockdrop.runner` for how they work together. Policies that
occur often can have a whole network of their own, which a runtime optimises across blocks.
"""

# B batch, U droppable blocks, F frequent policies, K classes, S side of the image in pixels
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from modicum.classify.blockdrop.chain import cut_into_chain
from modicum.classify.blockdrop.droppable import DroppableBlock
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.runner import POLICY, SYSTEM, OnnxBlockDrop
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.samples import sample_images
from modicum.exporting.templates import TemplateWriter
from modicum.exporting.writing import Outputs, Stated, Written, compare_answers, write_export
from modicum.storage.files import JSON


def export_blockdrop(network: BlockDrop, folder: str | Path, stated: Stated, *, frequent: Tensor | None = None) -> Path:
    """Writes the graphs and the manifest that `OnnxBlockDrop` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode. Its blocks must follow one another; see `cut_into_chain`.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
        frequent: Policies (F, U), bool, each to have a graph of the whole network beside those of the blocks; each
            takes up to the memory of the backbone.
    """
    common = stated.details(image_px=network.image_px, num_classes=network.storage_config()["num_classes"])
    policies = _policies(network, frequent)
    return write_export(
        network,
        folder,
        common | _details(network),
        system=SYSTEM,
        write=partial(_write_graphs, policies=policies),
        check=check_export,
    )


def check_export(network: BlockDrop, folder: str | Path) -> float:
    """Compares an exported folder with the network that it was made of; see ``check`` of `write_export`.

    Every graph is run on every sample, each block with all, none and half of the samples kept; decisions are compared
    on the same scores, so that samples at a threshold cannot fail for their last digit.
    """
    runner = OnnxBlockDrop(folder, threads=1)
    return compare_answers(partial(_answers, network, runner), network.image_px)


class _Scores(nn.Module):
    """What `BlockDrop.scores` computes, as a module of its own."""

    def __init__(self, policy_network: nn.Module) -> None:
        super().__init__()
        self.policy_network = policy_network

    def forward(self, images: Tensor) -> Tensor:
        """Returns probabilities (B, U) of images (B, 3, S, S)."""
        return torch.sigmoid(self.policy_network(images))


def _write_graphs(network: BlockDrop, folder: Path, *, policies: Tensor) -> Written:
    graphs, steps = _write_chain(network, folder)
    graphs[POLICY] = _write_policy(network, folder)
    paths = _write_paths(network, folder, policies)
    frequent: list[JSON] = [
        {"graph": role, "kept": policy.nonzero()[:, 0].tolist()} for role, policy in zip(paths, policies, strict=True)
    ]
    return Written(graphs | paths, {"steps": steps, "frequent": frequent})


def _write_policy(network: BlockDrop, folder: Path) -> Graph:
    scores = _Scores(fold_batch_norms(network.policy_network)).eval()
    return _write(scores, sample_images(network.image_px)[:2], folder / f"{POLICY}.onnx", "images", "scores")


def _write_paths(network: BlockDrop, folder: Path, policies: Tensor) -> dict[str, Graph]:
    """Writes one graph of the whole network per policy, and returns them by role."""
    images = sample_images(network.image_px)[:2]
    return {
        f"path_{number}": _write(
            fold_batch_norms(network.static(policy)), images, folder / f"path_{number}.onnx", "images", "logits"
        )
        for number, policy in enumerate(policies)
    }


def _write_chain(network: BlockDrop, folder: Path) -> tuple[dict[str, Graph], list[JSON]]:
    """Graphs by role, and in which order they run."""
    graphs: dict[str, Graph] = {}
    steps: list[JSON] = []
    writer, names = TemplateWriter(), {"input_name": "features", "output_name": "output"}
    x, num_passed = sample_images(network.image_px)[:2], 0  # examples for each graph, and the blocks behind us
    with torch.no_grad():
        for part in cut_into_chain(fold_batch_norms(network.backbone)):
            if isinstance(part, DroppableBlock):
                role, shortcut, unit = f"block_{num_passed}", None, num_passed
                if not part.is_identity:
                    shortcut = f"shortcut_{unit}"
                    graphs[shortcut] = writer.write(part.shortcut, x, folder / f"{shortcut}.onnx", **names)
                graphs[role] = writer.write(part.block, x, folder / f"{role}.onnx", **names)
                steps.append({"graph": role, "unit": unit, "shortcut": shortcut})
                num_passed += 1
            else:
                role = "stem" if num_passed == 0 else f"after_block_{num_passed - 1}"
                graphs[role] = _write(part, x, folder / f"{role}.onnx", "features", "output")
                steps.append({"graph": role, "unit": None, "shortcut": None})
            x = part(x)
    return graphs, steps


def _write(module: nn.Module, example: Tensor, path: Path, input_name: str, output_name: str) -> Graph:
    return export_graph(module.eval(), (example,), path, input_names=[input_name], output_names=[output_name])


def _details(network: BlockDrop) -> dict[str, JSON]:
    return {
        "image_px": network.image_px,
        "decision": {
            "rule": "block t is kept where scores[t] >= thresholds[t] + knob, in double precision",
            "thresholds": network.policy.thresholds.tolist(),
        },
        "costs": asdict(network.costs),
    }


def _policies(network: BlockDrop, frequent: Tensor | None) -> Tensor:
    """Returns the frequent policies (F, U) without duplicates."""
    num_blocks = len(network.costs.per_unit)
    if frequent is None:
        return torch.zeros(0, num_blocks, dtype=torch.bool)
    if frequent.dtype != torch.bool or frequent.shape[1:] != (num_blocks,):
        raise ValueError(
            f"frequent must be keep-vectors (F, {num_blocks}) bool, got {tuple(frequent.shape)} {frequent.dtype}"
        )
    policies: Tensor = torch.unique(frequent.cpu(), dim=0)
    return policies


@torch.inference_mode()
def _answers(network: BlockDrop, runner: OnnxBlockDrop, images: Tensor) -> tuple[Outputs, Outputs]:
    """Outputs by name, of the network and of its export."""
    array, count, num_blocks = images.numpy(), len(images), runner.num_blocks
    scores, result = runner.scores(array), runner.predict(array)
    routes = torch.from_numpy(result.routes)
    expected = {
        "scores": network.scores(images),
        "routes": network.policy.decide(torch.from_numpy(scores), runner.knob),
        "logits": network.run(images, routes),
        "macs": network.costs.of(routes),
    }
    found: Outputs = {"scores": scores, **result._asdict()}
    halves = (torch.arange(num_blocks) + torch.arange(count)[:, None]) % 2 == 0  # neighbours keep what the other drops
    keeps = {"all blocks": torch.ones_like(halves), "no block": torch.zeros_like(halves), "half of the blocks": halves}
    for name, keep in keeps.items():
        expected[f"logits with {name}"] = network.run(images, keep)
        found[f"logits with {name}"] = runner.run_by_blocks(array, keep.numpy())
    for number, policy in enumerate(torch.from_numpy(runner.frequent)):
        keep = policy.expand(count, -1)
        expected[f"logits of frequent policy {number}"] = network.run(images, keep)
        found[f"logits of frequent policy {number}"] = runner.run(array, keep.numpy())
    return {name: value.numpy() for name, value in expected.items()}, found
