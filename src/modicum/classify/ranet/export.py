"""Writes a trained RANet as ONNX graphs that run without PyTorch, and proves that they answer alike.

One graph for the stem and two per exit: its body, from the features before to those that the exit reads, and its head.
Heads are apart so that a runner skips them where no image can leave; see `modicum.classify.ranet.runner`. What a
body does not read does not pass through it.
"""

# B batch, E exits, K classes, C channels, H W positions
import copy
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from modicum.adaptive.exits import GainRule, GeometricRule
from modicum.classify.ranet.blocks import Record
from modicum.classify.ranet.deciding import ANSWERS, HOW, pack_table
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.runner import BODY, HEAD, STEM, SYSTEM, OnnxRANet
from modicum.classify.ranet.segments import Segment
from modicum.exporting.classifiers import stated_costs
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.manifest import Graph
from modicum.exporting.onnx_graphs import export_graph
from modicum.exporting.samples import sample_images
from modicum.exporting.writing import Outputs, Stated, Written, compare_answers, excuse_routes, write_export
from modicum.storage.files import JSON

TOLERANCE = 1e-4

_Names: TypeAlias = tuple[str, ...]  # of the tensors that one block records


def export_ranet(network: RANet, folder: str | Path, stated: Stated) -> Path:
    """Writes the graphs and the manifest that `OnnxRANet` runs, and checks them.

    `write_export` says what is returned and raised, `Stated.details` what has to fit the network.

    Args:
        network: On any device, in any mode; its exit rule is exported as it is fitted, for any knob.
        folder: Where to write.
        stated: What the manifest states beside what the network knows.
    """
    common = stated.details(image_px=network.image_px, num_classes=network.num_classes)
    return write_export(
        network, folder, common | _details(network, stated.knob), system=SYSTEM, write=_write_graphs, check=check_export
    )


def check_export(network: RANet, folder: str | Path) -> float:
    """Compares an exported folder with the network that it was made of; see ``check`` of `write_export`.

    Every exit is run on every sample; then the decision is compared on the same scores, so that samples at the edge
    between two exits cannot fail for their last digit, and the compacted run on the exits that it took: its answers,
    its multiply-adds, and those exits themselves, up to scores within the tolerance.
    """
    runner = OnnxRANet(folder, threads=1)  # more would wait, spinning, on the cores that PyTorch wants next
    return compare_answers(partial(_answers, network, runner), network.image_px, TOLERANCE)


class _Body(nn.Module):
    """A segment without its head, from the tensors that it really reads to those that it makes.

    Args:
        segment: What to cut out of.
        start: Name of the stem's map or the features at which it starts.
        coarser: Names of what each block beside its fusion blocks records.
        recorded: Names of what its own blocks record; none where no finer sub-network reads it.
        features: Name of what its head reads; the last of ``recorded`` where no transition changes that.
    """

    def __init__(
        self, segment: Segment, start: str, coarser: Sequence[_Names], recorded: Sequence[_Names], features: str
    ) -> None:
        super().__init__()
        self.fusions, self.dense, self.features = segment.fusions, segment.dense, features
        self.counts = [len(names) for names in coarser]
        self.reads, kept = (start, *chain.from_iterable(coarser)), tuple(chain.from_iterable(recorded))
        self.is_recorded, self.is_apart = bool(kept), features not in kept
        self.writes = (*kept, features) if self.is_apart else kept

    def forward(self, x: Tensor, *coarser: Tensor) -> tuple[Tensor, ...]:
        """Returns the tensors named by ``writes``, from those named by ``reads``."""
        recorded: Record = ()
        for fusion, count in zip(self.fusions, self.counts, strict=True):
            x, new = fusion(x, coarser[:count])
            recorded, coarser = recorded + new, coarser[count:]
        x, new = self.dense(x)
        return (*(recorded + new if self.is_recorded else ()), *((x,) if self.is_apart else ()))


def _cut(network: RANet) -> list[_Body]:
    """Returns the bodies of all segments; names the tensors between them."""
    bodies: list[_Body] = []
    coarser: Sequence[_Names] = ()
    for net, blocks in enumerate(network.structure.subnetworks(), start=1):
        names = [f"net_{net}_block_{plan.number}" for plan in blocks]
        records = [
            (name, f"{name}_halved") if plan.halves else (name,) for name, plan in zip(names, blocks, strict=True)
        ]
        is_read, start, opened = net < network.structure.num_subnetworks, f"stem_{net}", 0
        for plan in blocks[len(coarser) :]:
            own = records[opened : plan.number] if is_read else ()
            is_apart = not is_read or plan.shrunk is not None
            features = f"features_{len(bodies) + 1}" if is_apart else records[plan.number - 1][-1]
            bodies.append(_Body(network.segments[len(bodies)], start, () if opened else coarser, own, features))
            start, opened = features, plan.number
        coarser = records
    return bodies


@torch.inference_mode()
def _write_graphs(network: RANet, folder: Path) -> Written:
    stem_names = [f"stem_{number}" for number in range(1, network.structure.num_subnetworks + 1)]
    examples = {"images": sample_images(network.image_px)[:2]}
    graphs: dict[str, Graph] = {}

    def write(role: str, module: nn.Module, reads: Sequence[str], writes: Sequence[str]) -> None:
        inputs = [examples[name] for name in reads]
        folded = _folded(module).eval()
        path = folder / f"{role.replace(' ', '_')}.onnx"
        graphs[role] = export_graph(folded, inputs, path, input_names=reads, output_names=writes)
        made = module(*inputs)
        examples.update(zip(writes, (made,) if isinstance(made, Tensor) else made, strict=True))

    write(STEM, network.stem, ["images"], stem_names)
    for number, (segment, body) in enumerate(zip(network.segments, _cut(network), strict=True), start=1):
        write(BODY.format(number), body, body.reads, body.writes)
        write(HEAD.format(number), segment.head, [body.features], ["logits"])
    return Written(graphs, {})


def _folded(module: nn.Module) -> nn.Module:
    """Copies ``module`` without batch normalisation; blocks depend on sizes, so only sequences can be traced."""
    if isinstance(module, nn.Sequential):
        return fold_batch_norms(module)
    module = copy.copy(module)
    module._modules = {name: part and _folded(part) for name, part in module._modules.items()}
    return module


def _details(network: RANet, knob: float) -> dict[str, JSON]:
    trunk, heads = network.pieces
    return {
        "image_px": network.image_px,
        "decision": {
            **describe_decision(network, knob),
            "temperatures": network.temperatures.values().tolist(),
            "average": network.average_exits,
            "answer": ANSWERS[network.average_exits],
        },
        "costs": stated_costs(asdict(network.costs)),
        "pieces": {"unit": "MAC", "trunk": list(trunk), "heads": list(heads)},
    }


def describe_decision(network: RANet, knob: float) -> dict[str, JSON]:
    """Returns the exit rule of ``network`` as plain data, which `modicum.classify.ranet.deciding.read_rule` reads."""
    rule = network.policy
    if isinstance(rule, GeometricRule):
        table = pack_table(rule.calibration.values().cpu().numpy())
        return {
            "rule": "geometric",
            "how": HOW["geometric"],
            "thresholds": rule.thresholds(knob).tolist(),
            "calibration": table,
        }
    if isinstance(rule, GainRule):
        knots, correctness = (pack_table(part.values().cpu().numpy()) for part in (rule.knots, rule.correctness))
        return {
            "rule": "gain",
            "how": HOW["gain"],
            "relative_costs": rule.relative_costs.tolist(),
            "knots": knots,
            "correctness": correctness,
        }
    return {"rule": "common", "how": HOW["common"]}


@torch.inference_mode()
def _answers(network: RANet, runner: OnnxRANet, images: Tensor) -> tuple[Outputs, Outputs]:
    """Outputs by name, of the network and of its export."""
    array = images.numpy()
    logits = runner.every_exit(array)
    scores, result = runner.scores(array), runner.predict(array)
    routes = torch.from_numpy(result.routes)
    expected = {
        "logits of every exit": network.every_exit(images),
        "scores": network.scores(images),
        "routes": network.policy.decide(torch.from_numpy(scores), runner.knob),
        "routes of the run": excuse_routes(network.policy, torch.from_numpy(scores), routes, runner.knob, TOLERANCE),
        "logits": network.run(images, routes),
        "macs": network.executed_macs(routes, runner.knob),
    }
    found: Outputs = {"logits of every exit": logits, "scores": scores, "routes": runner.decide(scores)}
    found |= {"routes of the run": result.routes, "logits": result.logits, "macs": result.macs}
    return {name: value.numpy() for name, value in expected.items()}, found
