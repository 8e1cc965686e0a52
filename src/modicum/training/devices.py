"""Where a trained network runs when nothing trains."""

import torch


def inference_device(accelerator: str) -> torch.device:
    """The accelerator of this machine, unless there is none or ``accelerator``, a Trainer's option, is ``"cpu"``."""
    current = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if accelerator == "cpu" or current is None else current
