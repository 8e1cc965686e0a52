"""Batch normalisation at rest: folded into the convolution before it, or reduced to a scale and a shift.

Exporters trip over BatchNorm on a batch of data-dependent size (it asks whether the batch is empty), and a deployed
network has no use for its statistics.

Two steps. A trace of the network shows which normalisations always and only see the result of one convolution; those
are folded into its weights. Every other one becomes a `ScaleShift`, which is right wherever it stands, so a network
that cannot be traced loses speed and not correctness. The trace is evidence alone: the network keeps its modules.
"""

# B batch, C channels
import copy
from collections import Counter
from typing import TypeGuard, cast

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv2dSame)  # timm's last pads its input first, and convolves then
_PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_NORMS_WITH_ACTIVATION = (BatchNormAct2d, SyncBatchNormAct)


class ScaleShift(nn.Module):
    """What an evaluated batch normalisation computes: each channel times a number plus a number.

    Args:
        norm: A batch normalisation with running statistics; only its normalisation is taken over.
    """

    scale: Tensor  # (C,)
    shift: Tensor  # (C,)

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError(f"a batch normalisation without running statistics has no fixed scale, got {norm}")
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.detach().double()
        shift = -norm.running_mean.double() * scale
        shift = shift if norm.bias is None else shift + norm.bias.detach().double()
        self.register_buffer("scale", scale.to(norm.running_var.dtype))
        self.register_buffer("shift", shift.to(norm.running_var.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the shape of ``x``, (B, C, ...)."""
        shape = (-1,) + (1,) * (x.ndim - 2)
        return x * self.scale.view(shape) + self.shift.view(shape)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Returns an equivalent copy of ``network`` in evaluation mode, without batch normalisation.

    Normalisations that use the statistics of the batch in evaluation too have no fixed scale, and classes derived from
    BatchNorm by others may compute anything; both are left as they are. timm's ``BatchNormAct2d`` keeps its activation.

    Args:
        network: Any network; it is not changed.
    """
    # A holder, so that the network itself has a name and may be replaced like any of its parts.
    holder = nn.Sequential(copy.deepcopy(network).eval())
    for conv_name, norm_name in _consecutive_pairs(holder):
        conv, norm = cast(nn.Conv2d, holder.get_submodule(conv_name)), cast(BatchNorm, holder.get_submodule(norm_name))
        holder.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        holder.set_submodule(norm_name, _chain(_after_norm(norm)))
    replaced: dict[int, nn.Module] = {}  # a module that stands in two places stays one
    for name, module in list(holder.named_modules(remove_duplicate=False)):
        if _is_foldable(module):
            new = replaced.setdefault(id(module), _chain([ScaleShift(module), *_after_norm(module)]))
            holder.set_submodule(name, new)
    folded: nn.Module = holder[0].eval()
    return folded


def _is_foldable(module: nn.Module) -> TypeGuard[BatchNorm]:
    known = type(module) in _PLAIN_NORMS or type(module) in _NORMS_WITH_ACTIVATION
    return known and module.running_mean is not None and not _has_hooks(module)


def _after_norm(norm: nn.Module) -> list[nn.Module]:
    return [norm.get_submodule("drop"), norm.get_submodule("act")] if type(norm) in _NORMS_WITH_ACTIVATION else []


def _chain(parts: list[nn.Module]) -> nn.Module:
    if not parts:
        return nn.Identity()
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


class _PairTracer(fx.Tracer):
    """Looks into modules only as far as they hold convolutions or normalisations; all else is opaque to it.

    So a module whose inside cannot be traced, because it asks for sizes, does not spoil the trace.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, BatchNorm) or not any(isinstance(part, BatchNorm) for part in m.modules())


def _consecutive_pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Returns the names of each convolution and the foldable normalisation that is the only user of its output."""
    try:
        graph = _PairTracer().trace(network)
    except Exception:  # tracing runs the network's own code on stand-ins, which may raise anything
        return []
    modules = dict(network.named_modules(remove_duplicate=False))
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    if any(isinstance(module, BatchNorm) and not calls[id(module)] for module in modules.values()):
        return []  # some state of the network chose this path, so at another time the data may take another
    once = {id_ for id_, count in calls.items() if count == 1} - _exposed(network, graph)
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or not _is_foldable(modules[str(node.target)]):
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        if type(conv) in _CONVOLUTIONS and not _has_hooks(conv) and {id(conv), id(norm)} <= once:
            pairs.append((str(before.target), str(node.target)))
    return pairs


def _exposed(network: nn.Module, graph: fx.Graph) -> set[int]:
    """Returns modules whose parameters another module shares, or which the network's code reads by name."""
    owners: dict[int, set[int]] = {}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
    shared = {owner for several in owners.values() if len(several) > 1 for owner in several}
    read = [str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"]
    return shared | {id(network.get_submodule(name)) for name in read}
