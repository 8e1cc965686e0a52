import importlib.util
from pathlib import Path

import pytest
import torch

from modicum.adaptive.guarantee import Terms

PATH = Path(__file__).parents[2] / "benchmarks" / "redraws.py"


@pytest.fixture(scope="module")
def redraws():
    spec = importlib.util.spec_from_file_location("redraws", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pool(redraws, *counts, num_images=1000):
    """Knobs that lose so many of the images, the first ones; each is half as expensive as the one before."""
    lost = torch.arange(num_images) < torch.tensor(counts)[:, None]
    shares = (0.5 ** torch.arange(len(counts), dtype=torch.float64))[:, None].expand(lost.shape)
    return redraws.Knobs(lost, ~lost, shares)


def test_cheapest_knob_before_the_first_that_fails_is_certified(redraws):
    # 1,000 images certify 1 % with at most 4 losses.
    knobs = pool(redraws, 0, 4, 5, 4)
    assert redraws.certify(knobs, torch.arange(1000), Terms(0.01)) == 1


def test_nothing_is_certified_where_the_most_expensive_knob_loses_too_much(redraws):
    assert redraws.certify(pool(redraws, 5, 5), torch.arange(1000), Terms(0.01)) is None


def test_table_has_means_over_the_draws(redraws, capsys):
    redraws.print_redraws([pool(redraws, 0, 1000)], [0.01], 500, 20)
    *_, row = capsys.readouterr().out.splitlines()
    assert row == "| at most 1.0% lost | 100.0% | 100.0% | 100.0% | 0.00% | 0.0% | 0.0% |"


def test_guarantee_fails_in_no_more_draws_than_it_may(redraws, capsys):
    # The second knob loses 1.5 %, and passes where 500 images drawn hold at most one loss: in .5 % of the draws.
    redraws.print_redraws([pool(redraws, 0, 15)], [0.01], 500, 400)
    *_, row = capsys.readouterr().out.splitlines()
    assert float(row.split("|")[-2].strip(" %")) <= 5
