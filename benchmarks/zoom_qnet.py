"""Whether a Q-net plans better windows than the greedy policy on real pictures, by true return on held-out ones.

    python benchmarks/zoom_qnet.py data/ --trials runs/zoom-trials sequence people-pasted

The Q-net learns from the pictures of the other folds, each also mirrored, with gains by an R-net without them. Both
policies are rewarded with the true gains of the test pictures.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from zoom_aerial import Fold, folds_of, greedy, predicted
from zoom_cases import Case

from modicum.detect.overlaps import Boxes
from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.learning import QLearning, ZoomCase, mean_return, train_qnet
from modicum.detect.zoom.planning import plan_by_value
from modicum.detect.zoom.qnet import ConvQnet, ResidualQnet, values_of

PRICES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


def main() -> None:
    """Prints, for each price, the mean return of each policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("experiments", nargs="+", choices=["sequence", "time", "people-pasted"])
    parser.add_argument("--trials", type=Path, required=True, help="folder of zoom_detectors.py")
    parser.add_argument("--updates", type=int, default=1500)
    chosen = parser.parse_args()
    for name in chosen.experiments:
        folds = [fold for fold in folds_of(name, data=chosen.data, trials=chosen.trials) if fold.name != "munich"]
        returns = [fold_returns(fold, chosen.updates) for fold in folds]
        weights = [len(fold.test) for fold in folds]
        print(f"\n## {name}: mean return on {sum(weights)} pictures\n")
        print("| price | greedy | Q-net, plain | of greedy | Q-net, residual | of greedy |\n" + "| --- " * 6 + "|")
        totals = np.average(returns, axis=0, weights=weights)
        for price, (by_greedy, *learned) in zip(PRICES, totals.tolist(), strict=True):
            cells = [cell for each in learned for cell in (f"{each:.3f}", f"{each / by_greedy:.1%}")]
            print(f"| {price:g} | {by_greedy:.3f} | {' | '.join(cells)} |")
        by_greedy, *learned = totals.sum(axis=0).tolist()
        cells = [cell for each in learned for cell in (f"{each:.3f}", f"{each / by_greedy:.1%}")]
        print(f"| sum | {by_greedy:.3f} | {' | '.join(cells)} |", flush=True)


def fold_returns(fold: Fold, updates: int) -> list[list[float]]:
    """Returns the mean returns of greedy and of both Q-nets, for each price."""
    seen = [(case, predicted(fold.rnet)(case)) for case in fold.test]
    cases = [zoom_case(case, gains) for case, gains in seen]
    plans = [greedy(gains, overhead=0.0) for _, gains in seen]  # returns count pixels alone
    train = list(training_cases(fold))
    columns = [[mean_return(cases, [plan.at(price) for plan in plans], price) for price in PRICES]]
    for build in (ConvQnet, lambda sizes: ResidualQnet(ConvQnet(sizes))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            qnet = build(len(cases[0].lattices))
        train_qnet(qnet, train, QLearning(updates=updates, prices=(PRICES[0], PRICES[-1])))
        columns.append([mean_return(cases, chosen_windows(qnet, seen, price), price) for price in PRICES])
    return np.transpose(columns).tolist()


def zoom_case(case: Case, gains: BoxGains) -> ZoomCase:
    """Returns a picture as the Q-net sees and is rewarded on it."""
    return ZoomCase(gains.map(), case.truth(), case.lattices)


def chosen_windows(qnet: torch.nn.Module, seen: Sequence[tuple[Case, BoxGains]], price: float) -> list[Boxes]:
    """Returns the windows that a Q-net chooses at a price, shifted as the greedy ones are."""
    return [
        plan_by_value(
            gains.map(), values_of(qnet, case.grid, case.lattices), case.lattices, case.grid, price, refined_by=gains
        )
        for case, gains in seen
    ]


def training_cases(fold: Fold) -> Iterator[ZoomCase]:
    """Yields the pictures that were not tested, as they are and mirrored each way."""
    for name, group in fold.fit.items():
        rnet = fold.train([case for other, cases in fold.fit.items() if other != name for case in cases])
        for case in group:
            gains = predicted(rnet)(case)
            for across in (False, True):
                for down in (False, True):
                    moved, truth = (mirrored(each, across=across, down=down) for each in (gains, case.truth()))
                    yield ZoomCase(moved.map(), truth, case.lattices)


def mirrored(gains: BoxGains, *, across: bool, down: bool) -> BoxGains:
    """Returns the gains of a mirrored picture."""
    left, top, right, bottom = gains.boxes.T
    if across:
        left, right = gains.grid.width - right, gains.grid.width - left
    if down:
        top, bottom = gains.grid.height - bottom, gains.grid.height - top
    return BoxGains.of(np.stack([left, top, right, bottom], axis=1), gains.gains, gains.grid)


if __name__ == "__main__":
    main()
