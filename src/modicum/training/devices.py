"""Chooses the device of a trained network, and tells which process of a training this is."""

import torch


def inference_device(accelerator: str) -> torch.device:
    """Returns this machine's accelerator; the CPU if there is none or the Trainer's ``accelerator`` is ``"cpu"``."""
    current = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if accelerator == "cpu" or current is None else current


def is_first_process() -> bool:
    """Tells whether this process is the only one of a training, or the first of several."""
    from lightning.pytorch.utilities import rank_zero_only  # not needed to predict

    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]  # Lightning sets it on import
