"""Whether two implementations of a network give the same numbers."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from modicum.storage.errors import ModicumError


class ExportError(ModicumError):
    """A network cannot be exported, or an exported one cannot be used; the message says what to do next."""


def check_parity(
    expected: Mapping[str, NDArray[np.generic]], found: Mapping[str, NDArray[np.generic]], tolerance: float = 1e-4
) -> float:
    """Compares outputs by name.

    A difference is taken relative to the largest magnitude of the expected output where that exceeds 1, because single
    precision cannot do better there: logits of 1,000 carry an error of 1e-4 in any order of summation.

    Args:
        expected: Outputs of the original, any shapes.
        found: Outputs of the exported form.
        tolerance: The largest difference allowed, included.

    Returns:
        The worst difference of all outputs; 0 where there is nothing to compare.

    Raises:
        ExportError: If an output is missing, differs in shape, or differs by more than ``tolerance``; NaN and infinity
            differ from everything but themselves. The message names the output and its worst difference.
    """
    if missing := sorted(expected.keys() - found.keys()):
        raise ExportError(f"the exported network lacks the output(s) {', '.join(missing)}")
    worst = 0.0
    for name, wanted in expected.items():
        if wanted.shape != found[name].shape:
            raise ExportError(f"output {name!r} must have the shape {wanted.shape}, got {found[name].shape}")
        difference = _worst_difference(wanted, found[name])
        if not difference <= tolerance:
            raise ExportError(
                f"output {name!r} of the exported network differs by {difference:.2g} from the original, more than "
                f"{tolerance:g}: do not use this export, and please report the network"
            )
        worst = max(worst, difference)
    return worst


def _worst_difference(expected: NDArray[np.generic], found: NDArray[np.generic]) -> float:
    if not expected.size:
        return 0.0
    wanted, other = expected.astype(np.float64), found.astype(np.float64)
    same = (wanted == other) | (np.isnan(wanted) & np.isnan(other))
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN, and `same` has settled it
        difference = np.where(same, 0.0, np.abs(wanted - other))
    difference = np.where(np.isnan(difference), np.inf, difference)
    finite = np.abs(wanted[np.isfinite(wanted)])
    return float(difference.max() / max(1.0, finite.max(initial=0.0)))
