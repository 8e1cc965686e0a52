"""What attention costs without the matrix of all pairs of pixels, against the published layer, and the whole network.

The published layer holds the matrix and normalises it over the outputs; it is the measure of both directions here.
Times are taken in turn in one run, in fp32 on the CPU; memory is the peak of a process of its own, beyond what it has
before anything is prepared.
"""
# N positions, D features of queries, keys and values

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from modicum.measuring.memory import peak_memory
from modicum.measuring.rows import Row
from modicum.measuring.timing import limited_threads, threads_text, time_in_turn
from modicum.nn.attention import NonLocalBlock, Normalize, attend, attend_explicitly
from modicum.restore.rnan.network import RNAN, rnan_denoising

FEATURES = 32  # D of the published layers
SPEED_TARGET = 3.0
MEMORY_TARGET = 1 / 20
TRAINING_TARGET_MIB = 300.0
MIB = 2**20

_Attention = Callable[..., Tensor]
_FORMS: Mapping[str, tuple[_Attention, Normalize]] = {
    "published layer (explicit, over outputs)": (attend_explicitly, "outputs"),
    "explicit, over sources": (attend_explicitly, "sources"),
    "fused, over sources": (attend, "sources"),
    "in blocks, over outputs": (attend, "outputs"),
}
_PUBLISHED, *_OTHERS = _FORMS
_OURS = _OTHERS[1:]


@dataclass(frozen=True)
class _Extent:
    """How much is measured: sides in pixels of what attention sees and is trained on, and of the network's tile."""

    attention_px: int
    training_px: int
    tile_px: int
    rounds: int
    build: Callable[[], RNAN]


def _tiny_network() -> RNAN:
    return RNAN(1, features=4, local_groups=0)


FULL = _Extent(96, 128, 96, 5, rnan_denoising)
QUICK = _Extent(24, 24, 24, 1, _tiny_network)


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Returns rows for speed and memory of attention in both directions, of its training, and of the network on a tile.

    Args:
        threads: CPU threads; None measures with one, for which the targets are.
        quick: Small maps in seconds, to see that it works; the figures are not meaningful.
    """
    extent, number = QUICK if quick else FULL, 1 if threads is None else threads
    with limited_threads(number):
        rows = attention_rows(extent, number) + memory_rows(extent, number)
        return rows + training_rows(extent, number) + network_rows(extent, number)


def attention_rows(extent: _Extent, threads: int) -> list[Row]:
    """Times every form, forward and with gradients, and compares ours with the published layer."""
    rows = []
    for what, prepare, target in (("forward", _forward, SPEED_TARGET), ("forward and backward", _step, None)):
        setting = f"{what}, {_size(extent.attention_px)}, {threads_text(threads)}"
        runs = {name: prepare(form, normalize, extent.attention_px) for name, (form, normalize) in _FORMS.items()}
        seconds = time_in_turn(runs, rounds=extent.rounds)
        rows += [Row(f"attention, {name}, {setting}", 1000 * seconds[name], "ms") for name in _FORMS]
        rows += [
            Row(f"speed, {name}, {setting}", seconds[_PUBLISHED] / seconds[name], "x published layer", target)
            for name in _OURS
        ]
    return rows


def memory_rows(extent: _Extent, threads: int) -> list[Row]:
    """Measures the extra memory of the published layer and of ours, and the ratio of ours to it."""
    setting = f"forward, {_size(extent.attention_px)}, {threads_text(threads)}"
    peaks = {
        name: peak_memory(_limited, threads, partial(_forward, form, normalize, extent.attention_px))
        for name, (form, normalize) in _FORMS.items()
        if name in (_PUBLISHED, *_OURS)
    }
    rows = [Row(f"extra memory, {name}, {setting}", peak / MIB, "MiB") for name, peak in peaks.items()]
    return rows + [
        Row(
            f"extra memory / published layer's, {name}, {setting}",
            peaks[name] / peaks[_PUBLISHED],
            "ratio",
            MEMORY_TARGET,
            "at most",
        )
        for name in _OURS
    ]


def training_rows(extent: _Extent, threads: int) -> list[Row]:
    """Measures the extra memory of one training step of one non-local layer of 64 features, in both directions."""
    rows = []
    for name in _OURS:
        _, normalize = _FORMS[name]
        peak = peak_memory(_limited, threads, partial(_layer_step, normalize, extent.training_px))
        setting = f"{name}, {_size(extent.training_px)}, {threads_text(threads)}"
        rows.append(
            Row(f"extra memory, training step of a layer, {setting}", peak / MIB, "MiB", TRAINING_TARGET_MIB, "at most")
        )
    return rows


def network_rows(extent: _Extent, threads: int) -> list[Row]:
    """Times the network on one tile, plain and in forms that may be faster, and measures its memory per pixel."""
    side = extent.tile_px
    network, without = extent.build().eval(), _without_attention(extent.build()).eval()
    last = extent.build().eval().to(memory_format=torch.channels_last)
    image = _noise(1, 1, side, side)
    seconds = time_in_turn(
        {
            "fp32": partial(_infer, network, image),
            "fp32, without attention": partial(_infer, without, image),
            "fp32, channels last": partial(_infer, last, image.to(memory_format=torch.channels_last)),
            "bf16": partial(_infer, network, image, in_bf16=True),
            "bf16, channels last": partial(_infer, last, image.to(memory_format=torch.channels_last), in_bf16=True),
        },
        rounds=min(extent.rounds, 3),
    )
    setting = f"{_size(side)}, {threads_text(threads)}"
    rows = [Row(f"network, {name}, {setting}", 1000 * value, "ms/tile") for name, value in seconds.items()]
    rows.append(Row(f"network, fp32, {setting}", network.macs(side, side) / seconds["fp32"] / 1e9, "GMAC/s"))
    peak = peak_memory(_limited, threads, partial(_inference, extent.build, side))
    weights = sum(each.numel() * each.element_size() for each in network.parameters())
    rows.append(Row(f"extra memory without weights, fp32, {setting}", (peak - weights) / side**2, "bytes/pixel"))
    return rows


def _limited(threads: int, prepare: Callable[[], Callable[[], object]]) -> Callable[[], object]:
    """Limits the threads of a new process, which has all of them at first."""
    torch.set_num_threads(threads)
    return prepare()


def _forward(form: _Attention, normalize: Normalize, side: int) -> Callable[[], object]:
    parts = [0.6 * _noise(1, side**2, FEATURES) for _ in range(3)]
    return partial(_no_gradient, partial(form, *parts, scale=1.0, normalize=normalize))


def _step(form: _Attention, normalize: Normalize, side: int) -> Callable[[], object]:
    parts = [(0.6 * _noise(1, side**2, FEATURES)).requires_grad_() for _ in range(3)]

    def step() -> None:
        torch.autograd.backward(form(*parts, scale=1.0, normalize=normalize).sum())

    return step


def _layer_step(normalize: Normalize, side: int) -> Callable[[], object]:
    layer = NonLocalBlock(2 * FEATURES, normalize=normalize)
    features = _noise(1, 2 * FEATURES, side, side).requires_grad_()
    return lambda: layer(features).square().mean().backward()


def _inference(build: Callable[[], RNAN], side: int) -> Callable[[], object]:
    return partial(_infer, build().eval(), _noise(1, 1, side, side))


@torch.inference_mode()
def _infer(network: nn.Module, image: Tensor, *, in_bf16: bool = False) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        network(image)


@torch.inference_mode()
def _no_gradient(run: Callable[[], object]) -> None:
    run()


def _without_attention(network: RNAN) -> RNAN:
    return RNAN(**{**network.storage_config(), "non_local": False})


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _size(side: int) -> str:
    return f"{side}x{side}"
