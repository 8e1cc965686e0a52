"""What a smaller plain network saves on the clock: CIFAR's ResNets of depth 8, 20 and 32, timed in turn in one run."""
# B batch

from collections.abc import Callable

import torch
from torch import nn

from modicum.adaptive.contract import device_of
from modicum.classify.static.network import StaticFamily, rebuild_static
from modicum.measuring.rows import Row
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.training.devices import inference_device

BATCHES = (1, 32)
IMAGES = 32  # timed per reading: enough for one batch of the larger size
FULL = ("cifar_resnet8", "cifar_resnet20", "cifar_resnet32"), 32, 7
QUICK = ("digit_resnet", "cifar_resnet8"), 32, 3


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Measures the time of each member against the most expensive one's.

    Args:
        threads: CPU threads; None measures with one and with two.
        quick: Time two small networks in seconds, to check that the benchmark runs; the figures are not meaningful.
    """
    members, side, rounds = QUICK if quick else FULL
    network, device = fixed_family(members, side), inference_device("auto")
    rows = mac_rows(network)
    for number in (1, 2) if threads is None else (threads,):
        with limited_threads(number):
            for batch_size in BATCHES:
                rows += clock_rows(network, batch_size, rounds)
    if device.type != "cpu":
        for batch_size in BATCHES:
            rows += clock_rows(network.to(device), batch_size, rounds)
    return rows


def fixed_family(members: tuple[str, ...], side: int) -> StaticFamily:
    """Builds a family with random weights for 10 classes, ready to be timed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = rebuild_static(members, num_classes=10, image_px=side)
    return network.eval().to(memory_format=torch.channels_last)


def mac_rows(network: StaticFamily) -> list[Row]:
    """Returns the counted multiply-adds of each other member relative to the most expensive one."""
    names, shares = network.names, network.policy.relative_costs
    rows = zip(names[1:], shares[1:], strict=True)
    return [Row(f"multiply-adds, {name} / {names[0]}", share, "ratio") for name, share in rows]


@torch.inference_mode()
def clock_rows(network: StaticFamily, batch_size: int, rounds: int) -> list[Row]:
    """Times every member in turn at one batch size, each over the same images."""
    device = device_of(network)
    images = torch.randn(IMAGES, 3, network.image_px, network.image_px, generator=torch.Generator().manual_seed(0))
    batches = torch.split(images.to(device, memory_format=torch.channels_last), batch_size)

    def over_batches(member: nn.Module) -> Callable[[], None]:
        def all_batches() -> None:
            for batch in batches:
                member(batch)

        return all_batches

    members = zip(network.names, network.networks, strict=True)
    seconds = time_in_turn({name: over_batches(member) for name, member in members}, rounds=rounds)
    setting = f"batch {batch_size}, {_where(device)}"
    dearest = network.names[0]
    times = [Row(f"{name}, {setting}", 1000 * seconds[name] / IMAGES, "ms/image") for name in network.names]
    ratios = [
        Row(f"time, {name} / {dearest}, {setting}", seconds[name] / seconds[dearest], "ratio", 1.0, "at most")
        for name in network.names[1:]
    ]
    return [*times, *ratios]


def _where(device: torch.device) -> str:
    return threads_text(torch.get_num_threads()) if device.type == "cpu" else device_name(device)
