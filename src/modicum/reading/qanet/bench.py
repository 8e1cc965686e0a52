"""QANet against readers with recurrence on this machine's clock: training and inference, by device, batch and length.

The paper's speed-up is one of GPUs, where recurrence waits for hundreds of dependent steps; on a CPU thread QANet has
more to compute and usually is the slower. So every figure names device, batch and lengths, all are taken in turn in one
run, and each comparison says which is faster there. On CPUs in single precision, on GPUs with bfloat16 autocast. What
grouping passages by length is worth is timed too, on lengths drawn like those of SQuAD.
"""
# B pairs of passage and question, L passage words, M question words, V distinct words

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.measuring.rows import Row
from modicum.measuring.timing import device_name, limited_threads, threads_text, time_in_turn
from modicum.reading.inputs import Inputs
from modicum.reading.lstm_readers import bidaf_reader, rnn_reader
from modicum.reading.qanet.network import QANet
from modicum.reading.qanet.options import PRESETS, WORD_CHARACTERS
from modicum.training.devices import inference_device

LIMITS = (400, 50)  # words of passages and questions in training (paper, section 4.1.1)
MEAN_LENGTHS = (144, 12)  # of SQuAD
_SPREADS = (0.40, 0.33)  # of the logarithms of its lengths
_POOL = 512  # pairs that are sorted by length before batches are cut
_BUCKETS = 8  # of those batches timed, evenly from short to long
BUCKETING_TARGET = 2.0
CHARACTERS = 100
_VOCABULARY = 20_000

Lengths = Sequence[tuple[int, int]]  # words of each passage and question


@dataclass(frozen=True)
class _Extent:
    """What is timed: networks by name, sizes of batches by device, lengths, and how often."""

    networks: Mapping[str, Callable[[], nn.Module]]
    batches: Sequence[int]
    gpu_batches: Sequence[int]
    lengths: Sequence[tuple[int, int]]
    rounds: int


FULL = _Extent(
    {
        "QANet": lambda: QANet(PRESETS["qanet"], num_characters=CHARACTERS),
        "BiDAF": partial(bidaf_reader, CHARACTERS),
        **{f"RNN-{layers}-128": partial(rnn_reader, layers, CHARACTERS) for layers in (1, 2, 3)},
    },
    batches=(1, 8),
    gpu_batches=(1, 32, 256),
    lengths=(LIMITS, MEAN_LENGTHS),
    rounds=3,
)
QUICK = _Extent(
    {
        "QANet": lambda: QANet(PRESETS["qanet-small"], num_characters=CHARACTERS),
        "BiDAF": partial(bidaf_reader, CHARACTERS),
    },
    batches=(2,),
    gpu_batches=(2,),
    lengths=((12, 5),),
    rounds=1,
)


def bench(*, threads: int | None = None, quick: bool = False) -> list[Row]:
    """Returns rows for each reader's time per pair, QANet's speed against each, and the gain of bucketing by length.

    Args:
        threads: CPU threads; None measures with one.
        quick: Two readers on a few words in seconds, to see that it works; the figures are not meaningful.
    """
    extent, number = QUICK if quick else FULL, 1 if threads is None else threads
    with limited_threads(number):
        rows = device_rows(extent, torch.device("cpu"), threads_text(number), extent.batches)
        rows += bucketing_rows(extent, max(extent.batches), threads_text(number))
    device = inference_device("auto")
    if device.type != "cpu":
        rows += device_rows(extent, device, device_name(device), extent.gpu_batches)
    return rows


def device_rows(extent: _Extent, device: torch.device, where: str, batches: Sequence[int]) -> list[Row]:
    """Measures all readers on one device, in inference and in training, at every batch size and pair of lengths."""
    networks = {name: _build(build).to(device) for name, build in extent.networks.items()}
    rows: list[Row] = []
    for lengths in extent.lengths:
        for batch_size in batches:
            inputs = random_batch([lengths] * batch_size).to(device)
            for what, prepare in (("inference", _forward), ("training step", _training_step)):
                runs = {name: prepare(network, inputs) for name, network in networks.items()}
                seconds = time_in_turn(runs, rounds=extent.rounds)
                setting = f"{what}, batch {batch_size}, {_text(lengths)}, {where}"
                rows += _comparison(seconds, batch_size, setting)
    return rows


def bucketing_rows(extent: _Extent, batch_size: int, where: str) -> list[Row]:
    """Compares QANet at the maximum lengths with batches of pairs of similar lengths, padded to their longest."""
    network, limits = _build(extent.networks["QANet"]), extent.lengths[0]
    buckets = bucketed_batches(batch_size, limits)
    full = random_batch([limits] * batch_size)
    rows = []
    for what, prepare in (("inference", _forward), ("training step", _training_step)):
        run_full, runs = prepare(network, full), [prepare(network, bucket) for bucket in buckets]
        seconds = time_in_turn({"full": run_full, "buckets": partial(_run_all, runs)}, rounds=extent.rounds)
        per_bucket = seconds["buckets"] / len(buckets)
        setting = f"{what}, batch {batch_size}, {where}"
        rows += [
            Row(f"QANet in buckets of real lengths, {setting}", 1000 * per_bucket / batch_size, "ms/pair"),
            Row(
                f"speed in buckets, {setting}",
                seconds["full"] / per_bucket,
                f"x padding to {_text(limits)}",
                BUCKETING_TARGET if what == "inference" else None,
            ),
        ]
    return rows


def random_batch(lengths: Lengths, *, word_dim: int = 300, characters: int = CHARACTERS, seed: int = 0) -> Inputs:
    """Draws a batch of these lengths whose words repeat as those of texts do (Zipf's law), padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = 1 / (torch.arange(_VOCABULARY) + 2.7)
    texts = []
    for place in range(2):
        text = torch.zeros(len(lengths), max(pair[place] for pair in lengths), dtype=torch.int64)
        for row, pair in enumerate(lengths):
            text[row, : pair[place]] = 2 + torch.multinomial(frequencies, pair[place], True, generator=generator)
        texts.append(text)
    everything = torch.cat([torch.zeros(1, dtype=torch.int64), *(text.flatten() for text in texts)])
    words, rows = torch.unique(everything, return_inverse=True)  # sorted: padding, 0, comes first
    passage, question = (
        part.view_as(text) for part, text in zip(rows[1:].split([text.numel() for text in texts]), texts, strict=True)
    )
    vectors = torch.randn(len(words), word_dim, generator=generator)
    letters = torch.randint(1, characters, (len(words), WORD_CHARACTERS), generator=generator)
    vectors[0], letters[0] = 0, 0
    match = (passage.unsqueeze(2) == question.unsqueeze(1)).any(2) & (passage != 0)
    return Inputs(words, vectors, letters, passage, question, match.float())


def bucketed_batches(batch_size: int, limits: tuple[int, int] = LIMITS) -> list[Inputs]:
    """Draws batches of pairs of similar lengths, short to long, with lengths as in SQuAD but within limits."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for mean, spread, limit in zip(MEAN_LENGTHS, _SPREADS, limits, strict=True):
        logarithms = torch.randn(_POOL, generator=generator) * spread - spread**2 / 2
        drawn.append((mean * logarithms.exp()).round().clamp(1, limit).int().tolist())
    pairs = sorted(zip(*drawn, strict=True))
    step = max(batch_size, _POOL // _BUCKETS)
    starts = range((step - batch_size) // 2, _POOL - batch_size + 1, step)  # the middle of each eighth
    return [random_batch(pairs[start : start + batch_size]) for start in starts]


def _build(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build()


def _forward(network: nn.Module, inputs: Inputs) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode(), _precision(inputs.passage.device):
            return network.eval()(*inputs)

    return run


def _training_step(network: nn.Module, inputs: Inputs) -> Callable[[], object]:
    """Returns a function that runs forward, backward and a step of Adam, for answers of one word, the first."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-5)
    target = torch.zeros(len(inputs.passage), dtype=torch.int64, device=inputs.passage.device)

    def run() -> Tensor:
        with _precision(inputs.passage.device):
            logits = network.train()(*inputs)
        loss = F.cross_entropy(logits.start, target) + F.cross_entropy(logits.end, target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss

    return run


@contextmanager
def _precision(device: torch.device) -> Iterator[None]:
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        yield


def _run_all(runs: Sequence[Callable[[], object]]) -> None:
    for run in runs:
        run()


def _comparison(seconds: Mapping[str, float], batch_size: int, setting: str) -> list[Row]:
    """Returns rows for each reader's time and for QANet's speed against each other reader, naming the faster."""
    rows = [Row(f"{name}, {setting}", 1000 * value / batch_size, "ms/pair") for name, value in seconds.items()]
    for name, value in seconds.items():
        if name != "QANet":
            speed = value / seconds["QANet"]
            faster = "QANet" if speed > 1 else name
            rows.append(Row(f"speed of QANet, {setting} ({faster} is faster)", speed, f"x {name}"))
    return rows


def _text(lengths: tuple[int, int]) -> str:
    return f"{lengths[0]}/{lengths[1]} words"
