"""One table over several runs that differ in their seed only: mean and spread of every row of the report.

python benchmarks/seeds.py runs/photos-0 runs/photos-1 runs/photos-2
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from modicum.classify.records import read_evaluation
from modicum.classify.summary import SummaryRow, summarise


def main() -> None:
    """Prints the table as Markdown; the spread is the standard deviation over the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path, help="Run folders that have been evaluated.")
    tables = [summarise(read_evaluation(run / "curve.json")) for run in parser.parse_args().runs]
    print(f"| network ({len(tables)} seeds) | of plain | right, % | spread |\n| --- | --- | --- | --- |")
    for rows in zip(*tables, strict=True):
        print(_line(rows))


def _line(rows: Sequence[SummaryRow]) -> str:
    accuracies = [100 * row.accuracy for row in rows]
    share = statistics.mean(row.share or 0.0 for row in rows)
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return f"| {rows[0].what} | {share:.1%} | {statistics.mean(accuracies):.1f} | ± {spread:.1f} |"


if __name__ == "__main__":
    main()
