"""What deployment brings: the folded network against the plain one, and a large photograph from file to mask."""

# B batch
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from modicum.imaging.belongings import Belongings
from modicum.measuring.rows import Row
from modicum.measuring.timing import limited_threads, threads_text, time_in_turn
from modicum.saliency.data.transforms import Preprocessing
from modicum.saliency.folding import fold_saliency
from modicum.saliency.network import SaliencyNet
from modicum.saliency.predictor import Predictor, encode

NETWORK_PX = 320
TOLERANCE = 1e-4
PHOTOGRAPH_PX = (4000, 3000)
FOLDED_SPEED = 1.3  # times that of the plain module, wanted of the default network
PHOTOGRAPH_S = 3.0  # wanted on two cores
FULL = {"MobileNetV3": {}, "MobileNetV3 without its finest level": {"skip_finest": True}}
QUICK = {"small": {"encoder": "small", "width": 16, "steps": 1}}


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Returns rows with the times of the folded and the plain network, and of a 12-megapixel photograph.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Runs a small network and photograph as a smoke test; the figures are not meaningful.
    """
    rows = []
    side, rounds = (96, 3) if quick else (NETWORK_PX, 9)
    for name, options in (QUICK if quick else FULL).items():
        network = fixed_network(**options)
        rows.append(difference_row(name, network, side))
        for number in (1, 2) if threads is None else (threads,):
            with limited_threads(number):
                rows += folding_rows(name, network, side, rounds, None if options.get("skip_finest") else FOLDED_SPEED)
    number = threads or 2
    with limited_threads(number):
        rows += photograph_rows(fixed_network(**(QUICK["small"] if quick else {})), side, quick=quick)
    return rows


def fixed_network(**options: object) -> SaliencyNet:
    """Returns a network with random weights and the statistics of random images, ready to be timed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = SaliencyNet(**options)  # type: ignore[arg-type]  # the options above
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # plain averages: as good as many steps
        with torch.no_grad():
            network.train()(torch.randn(4, 3, 128, 128))
    return network.eval()


@torch.inference_mode()
def difference_row(name: str, network: SaliencyNet, side: int) -> Row:
    """Measures the largest difference between the maps of the folded and the plain network."""
    images = _images(side)
    difference = float((fold_saliency(network).saliency(images) - network.saliency(images)).abs().max())
    return Row(f"largest difference of the folded map, {name}", difference, "of 1", TOLERANCE, "at most")


@torch.inference_mode()
def folding_rows(name: str, network: SaliencyNet, side: int, rounds: int, target: float | None) -> list[Row]:
    """Measures the milliseconds of one image, and the speed-up of the folded network, with all outputs and with one."""
    images = _images(side)
    innermost = images.contiguous(memory_format=torch.channels_last)
    folded = fold_saliency(network)
    seconds = time_in_turn(
        {
            "plain module": lambda: network(images),
            "plain module, prediction alone": lambda: network.saliency(images),
            "folded and unrolled": lambda: folded.saliency(innermost),
        },
        rounds=rounds,
    )
    setting = f"{name}, {side} px, {threads_text(torch.get_num_threads())}"
    times = [Row(f"{form}, {setting}", 1000 * value, "ms/image") for form, value in seconds.items()]
    plain, alone, fast = seconds.values()
    return [
        *times,
        Row(f"folded and unrolled, times as fast as the plain module, {setting}", plain / fast, "ratio", target),
        Row(f"folded and unrolled, times as fast as the plain module's prediction, {setting}", alone / fast, "ratio"),
    ]


def photograph_rows(network: SaliencyNet, side: int, *, quick: bool) -> list[Row]:
    """Measures the seconds from a 12-megapixel JPEG file to the PNG of its full-resolution mask, and parts of them.

    The whole has a target from two threads on.
    """
    width, height = (400, 300) if quick else PHOTOGRAPH_PX
    predictor = Predictor(network, Preprocessing(side))
    plain = Predictor(network, Preprocessing(side), is_guided=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photograph.jpg"
        file.write_bytes(encode(_photograph(width, height), "JPEG", Belongings()))
        seconds = time_in_turn(
            {
                "file to mask file": lambda: encode(Image.fromarray(predictor(file).mask), "PNG", Belongings()),
                "file to mask": lambda: predictor(file),
                "file to mask, not guided": lambda: plain(file),
            },
            rounds=3,
        )
    threads = torch.get_num_threads()
    setting = f"{width * height / 1e6:.2g} MP, {threads_text(threads)}"
    target = PHOTOGRAPH_S if threads >= 2 else None
    whole, *parts = seconds
    return [
        Row(f"{whole}, {setting}", seconds[whole], "s", target, "at most"),
        *(Row(f"{part}, {setting}", seconds[part], "s") for part in parts),
    ]


def _images(side: int) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def _photograph(width: int, height: int) -> Image.Image:
    """Draws clouds of colour with fine noise, which compress like a photograph."""
    random = np.random.default_rng(0)
    clouds = Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8)).resize((width, height))
    noise = random.integers(-8, 9, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(clouds) + noise, 0, 255).astype(np.uint8))
