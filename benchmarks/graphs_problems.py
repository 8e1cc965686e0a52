"""The two problems on photographs: the smallest graph against the smallest layered network of the same CPU time.

    python benchmarks/graphs_problems.py --images camera coins moon --seeds 0 1 2 --seconds 90 --out problems.jsonl

Brightness as a function of the place to absolute errors, and the next pixel to a share of the error that linear
regression has, held on validation squares. Each job is one search from one seed, then, with the CPU time that it
really took, a search over layered networks of one to four hidden layers by the same optimiser; both on one thread.
Jobs that stand in the file of results are not run again. Prints a table as Markdown, or with --json the medians.
"""

import argparse
import json
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from modicum.graphs.baselines import library_baselines, measure_graph, neat_baseline, simple_baselines
from modicum.graphs.graph import Graph
from modicum.graphs.graph_files import to_json
from modicum.graphs.layered import layers_of, search_layered
from modicum.graphs.levenberg_marquardt import Effort, fit
from modicum.graphs.preparation import Prepared, prepare
from modicum.graphs.recipe import GraphsRecipe, ImageOptions, SearchLimits
from modicum.graphs.results import Method
from modicum.graphs.search import Search
from modicum.graphs.task import Task
from modicum.graphs.training import make_plan, make_task
from modicum.processes import Crew
from modicum.storage.files import append_jsonl, read_jsonl

MANY_ROUNDS = 10**6  # the CPU time ends a search


@dataclass(frozen=True)
class Job:
    """One search.

    Attributes:
        problem: "image-function" or "next-pixel".
        image: A photograph's name, or an image file.
        bound: An error, or for the next pixel a share of that of linear regression on the validation squares.
        seed: Of everything random.
        seconds: CPU time of each of the two searches.
        side: Of the grid.
        max_points: Pixels that are fitted, of the next pixel.
    """

    problem: str
    image: str
    bound: float
    seed: int
    seconds: float
    side: int
    max_points: int

    @property
    def group(self) -> tuple[str, str, float]:
        """What jobs of several seeds share."""
        return self.problem, self.image, self.bound


def main() -> None:
    """Runs what is not done yet, then prints the table."""
    options = _parser().parse_args()
    jobs = list(list_jobs(options))
    done = read_jsonl(options.out) if options.out.exists() else []
    waiting = [job for job in jobs if not any(row["job"] == asdict(job) for row in done)]
    work = partial(run_job, neat_seconds=options.neat, seed_with_peers=options.seeds[0])
    with Crew(options.processes, work) as crew:
        for number, (_, row) in enumerate(crew.work_off(deque(waiting)), start=1):
            append_jsonl(options.out, row)
            done.append(row)
            print(f"{number}/{len(waiting)} {_line(row)}", flush=True)
    rows = [row for row in done if any(row["job"] == asdict(job) for job in jobs)]
    print(json.dumps(summarise(rows), indent=2) if options.json else table(rows))


def list_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """All searches that the options ask for."""
    bounds = {"image-function": options.bounds, "next-pixel": options.shares}
    for problem in options.problems:
        for image in options.images:
            for bound in bounds[problem]:
                for seed in options.seeds:
                    yield Job(problem, image, bound, seed, options.seconds, options.side, options.max_points)


def run_job(job: Job, neat_seconds: float, seed_with_peers: int) -> dict[str, Any]:
    """Searches a graph and a layered network, and for one of the seeds measures peers of the graph's size."""
    with threadpool_limits(limits=1):
        prepared, recipe = open_problem(job)
        task = make_task(prepared, recipe)
        search = Search(task, make_plan(recipe), job.seed)
        while not search.is_over:
            search.advance()
        start = time.process_time()
        best = search.polished()
        seconds = search.seconds + time.process_time() - start
        graph = prepared.raw(best.graph)
        ours = measure_graph("graph", graph, prepared, seconds=seconds)
        methods = [ours, layered_method(task, prepared, seconds, job.seed)]
        if job.seed == seed_with_peers:
            methods += [
                *simple_baselines(prepared, job.seed),
                *library_baselines(prepared, graph.num_parameters, job.seed),
            ]
        if job.seed == seed_with_peers and neat_seconds:
            methods += neat_baseline(prepared, seconds=neat_seconds, seed=job.seed)
    return {
        "job": asdict(job),
        "max_error": recipe.max_error,
        "judged_on": "train" if recipe.bound_on == "training" else "validation",
        "rounds": search.round,
        "methods": [asdict(method) for method in methods],
        "graph": to_json(graph),
    }


def open_problem(job: Job) -> tuple[Prepared, GraphsRecipe]:
    """The data of a job, and the recipe with its bound as an error."""
    recipe = GraphsRecipe(
        data=job.image,
        problem=job.problem,  # type: ignore[arg-type]  # one of the two
        max_error=job.bound,
        bound_on="validation" if job.problem == "next-pixel" else "training",
        search=SearchLimits(MANY_ROUNDS, job.seconds, 1),
        image=ImageOptions(job.side, job.max_points),
        seed=job.seed,
    )
    prepared = prepare(recipe)
    if job.problem == "next-pixel":
        points = prepared.points("train", np.random.default_rng(job.seed))
        linear = fit(Graph.linear(len(prepared.centre)), points, Effort(60, 1e-9)).graph
        reached = measure_graph("linear", prepared.raw(linear), prepared).errors["validation"]
        recipe = replace(recipe, max_error=job.bound * reached)
    return prepared, recipe


def layered_method(task: Task, prepared: Prepared, seconds: float, seed: int) -> Method:
    """The smallest layered network that keeps the bound; without parameters where none was found."""
    found = search_layered(task, seconds=seconds, seed=seed)
    chosen = found.best or found.least
    note = f"{'-'.join(map(str, layers_of(chosen.graph)))}, {found.fits} fits"
    method = measure_graph("layered", prepared.raw(chosen.graph), prepared, seconds=found.seconds, note=note)
    return method if found.best else replace(method, parameters=None, note=f"none kept the bound; least error: {note}")


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each problem, image and bound: parameters of all seeds, their medians, what is saved, and the peers."""
    groups: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["job"]["seed"]):
        groups.setdefault(Job(**row["job"]).group, []).append(row)
    return [_summary(group, members) for group, members in groups.items()]


def _summary(group: tuple[str, str, float], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    problem, image, bound = group
    kept = [_method(row, "graph")["errors"][row["judged_on"]] <= 1.0000001 * row["max_error"] for row in rows]
    graphs = [_method(row, "graph")["parameters"] if is_kept else None for row, is_kept in zip(rows, kept, strict=True)]
    layered = [_method(row, "layered")["parameters"] for row in rows]
    ours, theirs = _median(graphs), _median(layered)
    return {
        "problem": problem,
        "image": image,
        "bound": bound,
        "max_error": statistics.median(row["max_error"] for row in rows),
        "seeds": len(rows),
        "cpu_seconds": statistics.median(_method(row, "graph")["seconds"] for row in rows),
        "graph": graphs,
        "graph_median": ours,
        "layered": layered,
        "layered_median": theirs,
        "layered_least": min((n for n in layered if n is not None), default=None),
        "saved": None if ours is None or theirs is None else 1 - ours / theirs,
        "test_error": {name: statistics.median(_method(r, name)["errors"]["test"] for r in rows) for name in TWO},
        "peers": [method for row in rows for method in row["methods"] if method["name"] not in TWO],
    }


TWO = ("graph", "layered")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The summary as Markdown, peers below."""
    lines = [
        "| problem | image | error at most | CPU s | graph, parameters | layered, parameters | saved | "
        "test error, graph | layered |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    summary = summarise(rows)
    for s in summary:
        saved = "" if s["saved"] is None else f"{s['saved']:.0%}"
        tests = " | ".join(f"{s['test_error'][name]:.4f}" for name in TWO)
        lines.append(
            f"| {s['problem']} | {s['image']} | {s['max_error']:.4f} | {s['cpu_seconds']:.0f} | "
            f"{_told(s['graph'], s['graph_median'])} | {_told(s['layered'], s['layered_median'])} | {saved} | {tests} |"
        )
    lines += ["", "| problem | image | peer of the first seed's size | parameters | error, train | test |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    lines += [
        f"| {s['problem']} | {s['image']}, {s['max_error']:.4f} | {peer['name']} | {peer['parameters']} | "
        f"{peer['errors']['train']:.4f} | {peer['errors']['test']:.4f} |"
        for s in summary
        for peer in s["peers"]
    ]
    return "\n".join(lines)


def _told(counts: Iterable[int | None], median: float | None) -> str:
    each = ", ".join("none" if count is None else str(count) for count in counts)
    return f"{'none' if median is None else f'{median:g}'} ({each})"


def _median(counts: Sequence[int | None]) -> float | None:
    """The median, a seed that found nothing counting as infinitely large; None where that is the median."""
    middle = statistics.median(float("inf") if count is None else count for count in counts)
    return None if middle == float("inf") else middle


def _method(row: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(method for method in row["methods"] if method["name"] == name)
    return found


def _line(row: dict[str, Any]) -> str:
    job, (ours, theirs) = row["job"], (_method(row, name) for name in TWO)
    errors = " and ".join(f"{m['errors'][row['judged_on']]:.4f}" for m in (ours, theirs))
    return (
        f"{job['problem']} {job['image']} {row['max_error']:.4f} seed {job['seed']}: graph {ours['parameters']}, "
        f"layered {theirs['parameters']} ({theirs['note']}), errors {errors}, {row['rounds']} rounds"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--problems", nargs="+", default=["image-function", "next-pixel"])
    parser.add_argument("--images", nargs="+", default=["camera", "coins", "moon"], help="Names or image files.")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--bounds", nargs="+", type=float, default=[0.08, 0.06], help="Errors of the image function.")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.97], help="Of linear regression's error.")
    parser.add_argument("--seconds", type=float, default=90.0, help="CPU time of each search, and of its rival.")
    parser.add_argument("--side", type=int, default=64, help="Of the grid of the image function.")
    parser.add_argument("--max_points", type=int, default=20000, help="Pixels that are fitted, of the next pixel.")
    parser.add_argument("--neat", type=float, default=0.0, help="CPU time of NEAT, for the first seed; 0: none.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("graphs_problems.jsonl"), help="Results, one job per line.")
    parser.add_argument("--json", action="store_true", help="Print the medians as JSON instead of the table.")
    return parser


if __name__ == "__main__":
    main()
