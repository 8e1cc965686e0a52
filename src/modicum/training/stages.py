"""A run is a row of stages; each is fitted by Lightning's Trainer, and goes on where a kill left it.

A stage resumes to the weights of an uninterrupted run because nothing depends on what happened before its last
checkpoint: the data of an epoch are a function of seed and epoch (`DataLoader` made anew for each), and so is the
state of torch's random generator at its start.
"""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from modicum.datasets.loaders import derive_seed
from modicum.processes import end_with_parent
from modicum.storage.errors import MissingExtraError, RecipeError
from modicum.storage.runs import RunFolder
from modicum.training.averaging import weight_average
from modicum.training.checkpoints import AtomicCheckpointIO, count_batches, load_checkpoint
from modicum.training.devices import is_first_process
from modicum.training.logs import EpochLines, JsonLinesLogger
from modicum.training.optimisers import ClipGradients, StepSchedules
from modicum.training.progress import StagePlan
from modicum.training.recipe import TrainerOptions
from modicum.training.watching import RisingLoss, StopDiverged

ADVERTISEMENTS = (  # Lightning's hints on things that are meant as they are; all other warnings stay
    ".*does not have many workers.*",  # small sets are quicker without worker processes
    ".*is smaller than the logging interval.*",
    ".*Starting from v1.9.0, `tensorboardX`.*",
    ".*You are using `LearningRateMonitor`.*",
    "You're resuming from a checkpoint that ended before the epoch ended.*",  # it takes optimisers' steps for batches
    "Checkpoint directory .* exists and is not empty.*",  # so it is in a resumed run
    "Found .* in eval mode at the start of training.*",  # teachers, and what a stage holds still
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning 2.6 calls what torch 2.11 deprecates
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaders:
    """The data of a stage.

    Attributes:
        train: From epoch, rank and number of processes to that epoch's batches for that rank.
        validation: Batches to watch the stage on.
    """

    train: Callable[[int, int, int], DataLoader[Any]]
    validation: Callable[[], DataLoader[Any]]


@dataclass(frozen=True)
class Stage:
    """One fit of a run.

    Attributes:
        name: Unique in the run.
        module: What is fitted.
        loaders: Its data.
        epochs: Passes over the training data.
        monitor: The logged figure by which the best checkpoint is kept; higher is better.
        ema_decay: Keep an exponential moving average of the weights with this decay, and end with it; None for none.
        ends_with: Whose weights the stage ends with: those of the last epoch, or of the best by ``monitor``.
        ema_warms_up: The average begins with a low decay, see `modicum.training.averaging`.
        loss_falls: The loss is one that training lowers, so that a rise is worth a warning; that of a policy which
            learns from rewards is not.
    """

    name: str
    module: LightningModule
    loaders: Loaders
    epochs: int
    monitor: str
    ema_decay: float | None = None
    ends_with: Literal["last", "best"] = "last"
    ema_warms_up: bool = False
    loss_falls: bool = True


def fit_stage(
    stage: Stage,
    run: RunFolder,
    options: TrainerOptions,
    seed: int,
    *,
    finished: bool,
    plan: StagePlan | None = None,
) -> None:
    """Fits ``stage`` in ``run``, from its last checkpoint if it has one; afterwards its module has the final weights.

    Args:
        stage: What to fit.
        run: Gets the checkpoints and the logs.
        options: Devices and precision.
        seed: Of everything random.
        finished: The stage ended in an earlier process: its final weights are loaded, nothing is fitted.
        plan: All stages of the run; None where this is the only one.

    Raises:
        RunError: If a checkpoint is damaged.
        DivergedError: If the loss, a weight or a running statistic becomes infinite or no number; no checkpoint holds
            such a state.
    """
    if not is_first_process():
        end_with_parent()  # the first process started this one, or a launcher that started both
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.channels_last:
        stage.module.to(memory_format=torch.channels_last)
    plan = plan or StagePlan({stage.name: stage.epochs})
    folder = run.stage(stage.name)
    last = folder / "last.ckpt"
    # A stage whose folder is gone is trained again, to equal weights.
    checkpoint = load_checkpoint(last) if last.exists() else None
    if checkpoint and (finished or checkpoint["epoch"] + 1 == stage.epochs):  # a kill may come before it is recorded
        if is_first_process():
            log.info("%s: %s was finished before", plan.place(stage.name), stage.name)
        _load_final_weights(stage, folder)
        return
    step = count_batches(checkpoint) if checkpoint else 0
    with _advertisements_silenced(), _options_refused_clearly(), _interrupts_passed_on():
        trainer = Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy=options.strategy,
            precision=options.precision,
            max_epochs=stage.epochs,
            logger=_loggers(stage, run, options, step),
            callbacks=_callbacks(stage, plan, folder, seed),
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,  # `Loaders.train` shares the data out itself
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
        )
        data = _EpochData(stage.loaders)
        trainer.fit(stage.module, datamodule=data, ckpt_path=last if checkpoint else None, weights_only=True)
    if stage.ends_with == "best":
        _load_final_weights(stage, folder)


def _load_final_weights(stage: Stage, folder: Path) -> None:
    stage.module.load_state_dict(load_checkpoint(folder / f"{stage.ends_with}.ckpt")["state_dict"])


class _EpochData(LightningDataModule):
    """Gives the Trainer the batches of its current epoch and rank."""

    def __init__(self, loaders: Loaders) -> None:
        super().__init__()
        self.loaders = loaders

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        assert trainer is not None  # Lightning attaches it before it asks for data
        return self.loaders.train(trainer.current_epoch, trainer.global_rank, trainer.world_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loaders.validation()


class _SeedEpochs(Callback):
    """Sets torch's generator for each epoch, so that dropout and noise do not depend on earlier epochs.

    Not in `on_train_epoch_start`: Lightning 2.6 leaves that out in the first epoch after a resumption.
    """

    def __init__(self, seed: int, stage: str) -> None:
        self.seed, self.stage = seed, stage

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        if batch_idx == 0:
            torch.manual_seed(derive_seed(self.seed, self.stage, trainer.current_epoch, trainer.global_rank))


def _loggers(stage: Stage, run: RunFolder, options: TrainerOptions, step: int) -> list[Logger]:
    loggers: list[Logger] = [JsonLinesLogger(run.metrics, stage.name, step=step)]
    if options.tensorboard:
        try:
            loggers.append(TensorBoardLogger(run.tensorboard, name=stage.name, version=""))
        except ModuleNotFoundError as error:
            raise MissingExtraError("tensorboard", "tensorboard") from error
    return loggers


def _callbacks(stage: Stage, plan: StagePlan, folder: Path, seed: int) -> list[Callback]:
    # After the epoch, so that a resumed run starts with the next.
    settings: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    callbacks: list[Callback] = [
        _SeedEpochs(seed, stage.name),
        StopDiverged(stage.name, folder),
        ClipGradients(),
        StepSchedules(),
        _OwnSignals(),
        EpochLines(stage.name, plan),
        ModelCheckpoint(folder, "best", stage.monitor, mode="max", **settings),
        # Not `save_last` of the first: Lightning 2.6 writes that only after epochs that are the best so far.
        ModelCheckpoint(folder, "last", **settings),
    ]
    if stage.ema_decay is not None:
        callbacks.insert(0, weight_average(stage.ema_decay, warms_up=stage.ema_warms_up))
    if stage.loss_falls:
        callbacks.append(RisingLoss(stage.name))
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return callbacks


class _OwnSignals(Callback):
    """Lets SIGTERM do what it did before the fit, and tells the other processes of this training of its end.

    Lightning notes the signal and ends after the batch, as if all were well, with exit code 0.
    """

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread() and self.handler is not None:
            signal.signal(signal.SIGTERM, self.handler)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        launcher = trainer.strategy.launcher
        if launcher is not None and not isinstance(exception, Exception):
            launcher.kill(signal.SIGTERM)


@contextmanager
def _interrupts_passed_on() -> Iterator[None]:
    """Raises the `KeyboardInterrupt` that Lightning turns into the end of the process, with exit code 1."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        interrupt = end.__context__
        if not isinstance(interrupt, KeyboardInterrupt):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)  # Lightning ignores further interrupts from then on
        raise KeyboardInterrupt from interrupt


@contextmanager
def _options_refused_clearly() -> Iterator[None]:
    """Turns Lightning's refusal of an option, such as a missing GPU, into an error of the recipe."""
    try:
        yield
    except MisconfigurationException as error:
        raise RecipeError(f"trainer: {error}") from error


@contextmanager
def _advertisements_silenced() -> Iterator[None]:
    """Quiets Lightning's hints and the lines on devices and its cloud that it logs with every fit; errors stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in ADVERTISEMENTS:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
