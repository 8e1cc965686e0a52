"""The pages that a reader meets first: what they promise works as it stands there."""

import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer
from markupsafe import Markup

import modicum
from modicum import cli
from modicum.classify.data import opening as digits
from modicum.reporting import page
from modicum.reporting.embedding import EmbeddedPlot
from modicum.systems import SYSTEMS
from modicum.training import stages

DOCS = Path(__file__).parents[1] / "docs"
QUICK = {
    "cascade": ["--recipe", "cascade-quick", "--sizes", "[8]"],
    # So small a size that the quoted budget can be met.
    "drnet": ["--recipe", "drnet-quick", "--baselines", "false", "--resolutions", "[32,8]"],
    "static": ["--recipe", "static-quick"],
}
ROWS = [line for line in (DOCS / "results.md").read_text().splitlines() if line.startswith("| [`")]


@pytest.fixture
def small_digits(monkeypatch, tmp_path):
    """Embedded digits of a few samples, a batch per epoch, and reports without plots."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "Trainer", partial(Trainer, limit_train_batches=1, limit_val_batches=1))
    monkeypatch.setattr(digits, "DigitScenes", partial(digits.DigitScenes, sizes=(150, 100, 100)))
    monkeypatch.setattr(page, "embed_plot", lambda *_: EmbeddedPlot(Markup(), Markup()))


def test_five_lines_of_the_first_page_run_one_after_another(small_digits):
    text = (DOCS / "index.md").read_text().partition("## Five lines that work")[2]
    lines = re.search(r"```bash\n(.*?)```", text, flags=re.DOTALL)[1].splitlines()

    assert len(lines) == 5
    for line in lines:
        program, verb, *words = shlex.split(line, comments=True)
        quick = QUICK[words[0]] if verb == "train" else []
        assert (program, cli.main([verb, *words, *quick])) == ("modicum", 0)
    assert Path("runs/cascade/report.html").exists()
    assert Path("deploy/manifest.json").exists()


def test_results_open_with_a_row_for_every_system():
    assert {re.match(r"\| \[`([\w-]+)`\]", row)[1] for row in ROWS} == set(SYSTEMS)


@pytest.mark.parametrize("row", ROWS)
def test_row_of_results_gives_claim_figure_rival_verdict_and_command(row):
    _, _, *cells, command, _ = (cell.strip() for cell in row.split("|"))

    assert len(cells) == 4
    assert all(cells)
    assert re.fullmatch(r"`(modicum|python benchmarks/)[^`]+`", command)


@pytest.mark.parametrize("name", modicum.__all__)
def test_reference_has_every_name_of_the_package(name):
    pages = "".join(file.read_text() for file in (DOCS / "reference").glob("*.md"))

    assert re.search(rf"^\.\. auto(class|function):: modicum\.{name}$", pages, flags=re.MULTILINE)


def test_check_prefers_the_cascade_where_the_small_member_knows_its_errors(tmp_path, monkeypatch, capsys):
    rows = candidate_check(tmp_path, monkeypatch, capsys, doubt_on_errors=True)

    assert [cost < 1 for cost, _, _ in rows] == [True] * 4 + [False]
    assert all(cascade > mix + 1 for cost, cascade, mix in rows if cost < 1)


def test_check_sees_no_gain_where_the_small_member_doubts_at_random(tmp_path, monkeypatch, capsys):
    rows = candidate_check(tmp_path, monkeypatch, capsys, doubt_on_errors=False)

    assert all(cascade < mix + 1 for _, cascade, mix in rows)


def candidate_check(folder, monkeypatch, capsys, *, doubt_on_errors):
    """Cost, accuracy of the cascade and of the mix, in %, that the page's program prints for two simulated members."""
    random = np.random.default_rng(0)
    labels, spots = random.integers(10, size=4000), np.arange(4000)
    is_wrong = random.random(4000) < 0.2
    small, large = np.zeros((2, 4000, 10))
    small[spots, (labels + is_wrong) % 10] = random.uniform(4, 8, 4000)
    doubt = is_wrong if doubt_on_errors else random.permutation(is_wrong)
    small[doubt] /= 4
    large[spots, labels] = 10
    monkeypatch.chdir(folder)
    for name, array in {"small": small, "large": large, "labels": labels}.items():
        np.save(f"{name}.npy", array)
    program = re.search(r"```python\n(.*?)```", (DOCS / "candidate.md").read_text(), flags=re.DOTALL)[1]
    exec(compile(program, "candidate.md", "exec"), {})
    printed = re.findall(r"cost ([\d.]+): cascade ([\d.]+)%, random mix ([\d.]+)%", capsys.readouterr().out)
    assert len(printed) == 5
    return [tuple(map(float, row)) for row in printed]
