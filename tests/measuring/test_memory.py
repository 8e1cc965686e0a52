import os
from functools import partial

import numpy as np
import pytest

from modicum.measuring.memory import peak_memory

MIB = 2**20


def test_work_reports_what_it_allocates_however_large_its_parent_was():
    np.ones(48 * MIB)  # 384 MiB, more than the measured process ever has
    # The kernel counts pages in lots, hence the tolerance.
    assert peak_memory(partial, np.ones, 8 * MIB) / MIB == pytest.approx(64, abs=8)


def test_process_that_dies_is_reported():
    with pytest.raises(RuntimeError, match="the measured process died with exit code 3"):
        peak_memory(os._exit, 3)
