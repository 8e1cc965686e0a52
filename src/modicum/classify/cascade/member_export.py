"""Writes the members of a cascade of given networks as ONNX graphs, each from the images that all of them share.

One graph per member, its view of the images and its temperature inside, to log-probabilities. A member that was ONNX
already keeps its graph as it is: one before it makes its images, one behind it makes log-probabilities of its output.
"""

# n images of a batch, K classes, S side of the images in pixels
from pathlib import Path

import torch
from torch import Tensor, nn

from modicum.classify.cascade.members import MemberCascade
from modicum.classify.cascade.onnx_member import OnnxNetwork, logits_of
from modicum.classify.cascade.runner import ANSWER, IMAGES, STEP, chain_roles, graph_file
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph, describe_graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.parity import ExportError
from modicum.exporting.resizing import replace_resizes
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Written

SEEN, GIVEN = "seen", "given"  # tensors that pass between the graphs of a member that was ONNX already


@torch.inference_mode()
def write_members(network: MemberCascade, folder: Path) -> Written:
    """Writes the graphs of all members.

    Args:
        network: On the CPU, in single precision and evaluation mode.
        folder: Where to write.

    Raises:
        ExportError: If a member cannot be expressed in ONNX; the message names it.
    """
    images = sample_images(network.image_px)[:2]
    graphs: dict[str, Graph] = {}
    temperatures = network.temperatures.values().tolist()
    for index, (member, temperature) in enumerate(zip(network.members, temperatures, strict=True)):
        view, classifier = network.networks[index].children()
        seeing, role = replace_resizes(view, images), STEP.format(index + 1)
        try:
            if isinstance(classifier, OnnxNetwork):
                graphs |= _write_chain(role, seeing, classifier, temperature, images, folder)
            else:
                graphs[role] = _write_whole(role, seeing, classifier, temperature, images, folder)
        except ExportError as error:
            raise ExportError(f"member {member.name}: {error}") from error
    return Written(graphs)


class _Answer(nn.Module):
    """Makes log-probabilities (n, K), float32, of what a member gives.

    Args:
        temperature: Of the member.
        gives_probabilities: Whether it gives probabilities, not logits.
    """

    def __init__(self, temperature: float, *, gives_probabilities: bool = False) -> None:
        super().__init__()
        self.temperature, self.gives_probabilities = temperature, gives_probabilities

    def forward(self, given: Tensor) -> Tensor:
        """Returns them, of logits or probabilities (n, K) in any precision."""
        logits = logits_of(given, gives_probabilities=self.gives_probabilities)
        return (logits / self.temperature).log_softmax(dim=1)


class _Halve(nn.Module):
    """Converts images to half precision, which the graph behind it takes."""

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (n, 3, S, S), float16."""
        return images.half()


def _write_whole(
    role: str, view: nn.Module, classifier: nn.Module, temperature: float, images: Tensor, folder: Path
) -> Graph:
    """Writes the one graph of a member that is a PyTorch network."""
    folded = fold_batch_norms(replace_resizes(classifier, view(images)))
    whole = nn.Sequential(view, folded, _Answer(temperature)).eval()
    return export_graph(whole, [images], graph_file(folder, role), input_names=[IMAGES], output_names=[ANSWER])


def _write_chain(
    role: str, view: nn.Module, classifier: OnnxNetwork, temperature: float, images: Tensor, folder: Path
) -> dict[str, Graph]:
    """Writes the three graphs of a member that was ONNX already, and returns them by role."""
    first, second, third = chain_roles(role)
    seeing = nn.Sequential(view, _Halve() if classifier.takes_half_precision() else nn.Identity()).eval()
    answer = _Answer(temperature, gives_probabilities=classifier.gives_probabilities).eval()
    before, network, behind = (graph_file(folder, each) for each in (first, second, third))
    network.write_bytes(classifier.file_content())
    taken, made = classifier.tensor_names()
    given = classifier.run(seeing(images))
    return {
        first: export_graph(seeing, [images], before, input_names=[IMAGES], output_names=[SEEN]),
        second: describe_graph(network, [taken], [made], _opset(network)),
        third: export_graph(answer, [given], behind, input_names=[GIVEN], output_names=[ANSWER]),
    }


def _opset(file: Path) -> int:
    """Returns the version of the ONNX operators that a graph was written with."""
    import onnx

    imports = onnx.load(str(file)).opset_import
    return max((int(each.version) for each in imports if each.domain in ("", "ai.onnx")), default=0)
