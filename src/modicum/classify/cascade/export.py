"""Writes a trained cascade as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph per step, from the images or from what the step before left at the same size, to log-probabilities; see
`modicum.classify.cascade.runner` for how they work together. Batch normalisation is folded, the temperature is inside.
Given networks are written by `modicum.classify.cascade.member_export`.
"""

# B batch, M steps, K classes, C channels, H W positions, D features, S side of the images in pixels
import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from modicum.classify.cascade.member_export import write_members
from modicum.classify.cascade.members import MemberCascade
from modicum.classify.cascade.network import TrunkCascade
from modicum.classify.cascade.runner import ANSWER, IMAGES, STEP, SYSTEM, OnnxCascade, graph_file
from modicum.classify.cascade.trunk import Trunk
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.exiting_export import check_steps, describe_steps
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.resizing import exportable_resize
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Stated, Written, write_export
from modicum.nn.resizing import Resize
from modicum.storage.files import JSON

WEIGHTS_NOTE = (
    "each graph holds the pieces of the trunk that it runs; sizes do not share a file, because a graph of a fixed size "
    "is faster"
)
MEMBERS_NOTE = "each step holds one network, whole; one that answers alone and is no step is not exported"


def export_cascade(network: ExitingClassifier, folder: str | Path, stated: Stated) -> Path:
    """Writes the graphs and the manifest that `OnnxCascade` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode; all rows of its thresholds are exported, for any knob.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
    """
    common = stated.details(image_px=network.image_px, num_classes=network.num_classes)
    own: dict[str, JSON] = {
        "steps": _describe_steps(network),
        "weights": WEIGHTS_NOTE if isinstance(network, TrunkCascade) else MEMBERS_NOTE,
    }
    details = common | describe_steps(network) | own
    return write_export(network, folder, details, system=SYSTEM, write=_write_graphs, check=check_export)


def check_export(network: ExitingClassifier, folder: str | Path) -> float:
    """Compares an exported folder with the network that it was made of; see `check_steps`."""
    # More threads would wait, spinning, on the cores that PyTorch wants next.
    return check_steps(network, OnnxCascade(folder, threads=1))


class _Opening(nn.Module):
    """A step at a new size, from full-size images; what the next step needs follows the answer."""

    def __init__(self, resize: nn.Module, trunk: Trunk, head: nn.Module, temperature: float, *, goes_on: bool) -> None:
        super().__init__()
        self.resize, self.trunk, self.head = resize, trunk, head
        self.temperature, self.goes_on = temperature, goes_on

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns log-probabilities (B, K), and maps and pooled features where the next step has the same size."""
        maps, pooled = self.trunk(self.resize(images), 0, len(self.trunk.pieces))
        logs = (self.head(pooled) / self.temperature).log_softmax(dim=1)
        return (logs, maps, pooled) if self.goes_on else (logs,)


class _Continuing(nn.Module):
    """A step at the size of the step before, from what that one left."""

    def __init__(self, trunk: Trunk, head: nn.Module, temperature: float, *, goes_on: bool) -> None:
        super().__init__()
        self.trunk, self.head, self.temperature, self.goes_on = trunk, head, temperature, goes_on

    def forward(self, maps: Tensor, pooled: Tensor) -> tuple[Tensor, ...]:
        """Returns what `_Opening` does."""
        maps, new = self.trunk(maps, 0, len(self.trunk.pieces))
        pooled = torch.cat([pooled, new], dim=1)
        logs = (self.head(pooled) / self.temperature).log_softmax(dim=1)
        return (logs, maps, pooled) if self.goes_on else (logs,)


def _write_graphs(network: ExitingClassifier, folder: Path) -> Written:
    if isinstance(network, TrunkCascade):
        return _write_steps(network, folder)
    assert isinstance(network, MemberCascade)  # there are no cascades of a third kind
    return write_members(network, folder)


@torch.inference_mode()
def _write_steps(network: TrunkCascade, folder: Path) -> Written:
    tensors = {IMAGES: sample_images(network.image_px)[:2]}
    pieces = [fold_batch_norms(piece) for piece in network.trunk.pieces]
    graphs: dict[str, Graph] = {}
    for index in range(network.num_steps):
        module, reads = _cut(network, pieces, index)
        writes = [ANSWER, *(_passed(index) if network.goes_on(index) else ())]
        role, inputs = STEP.format(index + 1), [tensors[name] for name in reads]
        path = graph_file(folder, role)
        graphs[role] = export_graph(module, inputs, path, input_names=reads, output_names=writes)
        tensors |= zip(writes, module(*inputs), strict=True)
    return Written(graphs, {})


def _cut(network: TrunkCascade, pieces: Sequence[nn.Module], index: int) -> tuple[nn.Module, tuple[str, ...]]:
    """Returns a step as a module of its own, made of the folded pieces, and the names of what it reads."""
    stop, goes_on = network.steps[index].exit + 1, network.goes_on(index)
    head, temperature = copy.deepcopy(network.heads[index]), float(network.temperatures.values()[index])
    if index and network.goes_on(index - 1):
        start = network.steps[index - 1].exit + 1
        trunk = Trunk(pieces[start:stop], network.trunk.stages[start:stop])
        return _Continuing(trunk, head, temperature, goes_on=goes_on).eval(), _passed(index - 1)
    trunk = Trunk(pieces[:stop], network.trunk.stages[:stop])
    resize = exportable_resize(Resize(network.steps[index].size_px), network.image_px)
    return _Opening(resize, trunk, head, temperature, goes_on=goes_on).eval(), (IMAGES,)


def _passed(index: int) -> tuple[str, str]:
    """Returns the names of the tensors that a step passes on."""
    return f"maps_{index + 1}", f"pooled_{index + 1}"


def _describe_steps(network: ExitingClassifier) -> list[JSON]:
    if isinstance(network, TrunkCascade):
        return [{"size_px": step.size_px, "exit": step.exit + 1} for step in network.steps]
    assert isinstance(network, MemberCascade)
    return [{"member": member.name, "size_px": member.images.size_px} for member in network.members]
