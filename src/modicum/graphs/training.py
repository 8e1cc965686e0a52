"""From a recipe to a searched graph in a run folder, with its Pareto front and what it is held against."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from modicum.datasets.contents import check_content, keep_content, sample_digest
from modicum.graphs.activations import ActivationName
from modicum.graphs.baselines import (
    layered_note,
    library_baselines,
    measure_graph,
    missing_libraries,
    neat_baseline,
    simple_baselines,
)
from modicum.graphs.front import Front, Member
from modicum.graphs.graph import Graph
from modicum.graphs.growing import Candidates
from modicum.graphs.layered import search_layered_restarts
from modicum.graphs.preparation import Prepared, prepare
from modicum.graphs.progress import shown_progress
from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.restarts import Outcome, read_state, search_restarts
from modicum.graphs.results import FrontPoint, Method, Step
from modicum.graphs.search import Plan, Progress
from modicum.graphs.task import Task
from modicum.graphs.torch_module import GraphNetwork
from modicum.storage.counting import counted
from modicum.storage.files import JSON, append_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed
from modicum.storage.weights import save_network
from modicum.training.progress import StagePlan, time_left

logger = logging.getLogger(__name__)
REMEDY = "put a copy back, or train again"  # what to do about a damaged file of figures

STAGE, BASELINES = "search", "baselines"


def fit(recipe: GraphsRecipe, run: RunFolder) -> GraphNetwork:
    """Searches for the smallest graph; leaves it, its front and baselines in the run folder; resumes after a kill.

    An interrupt (Ctrl-C) ends the search with the best graph so far, which is reported without baselines; resuming goes
    on from there, to the graph that an uninterrupted search would have found.

    Returns:
        The graph as a network, in evaluation mode.

    Raises:
        DataError: If the data cannot be used, or have changed since the start of the run.
        MissingExtraError: If a library that reads them is not installed.
    """
    prepared = prepare(recipe)
    check_same_data(run, prepared)
    for note in prepared.notes:
        logger.info("%s", note)
    with threadpool_limits(limits=1):  # more threads than one per search slow each other down
        return _Fitting(recipe, run, prepared).fit()


def layered_path(run: RunFolder) -> Path:
    """Returns the file in which a run keeps the smallest layered network found beside its graph."""
    return run.path / "layered.safetensors"


def front_path(run: RunFolder) -> Path:
    """Returns the file in which a run keeps its Pareto front, on standardised inputs, and its searches' progress."""
    return run.path / "front.json"


def make_task(prepared: Prepared, recipe: GraphsRecipe) -> Task:
    """Returns the task of a search by this recipe."""
    rng = np.random.default_rng(recipe.seed)
    points = prepared.points("train", rng)
    validation = prepared.points("validation", rng) if recipe.bound_on == "validation" else None
    shifted = tuple(np.flatnonzero(prepared.centre).tolist())
    if recipe.max_error is None:
        return Task(points, max_complexity=recipe.allowed_complexity, validation=validation, shifted=shifted)
    return Task(points, prepared.loss_of(recipe.max_error), validation=validation, shifted=shifted)


def make_plan(recipe: GraphsRecipe) -> Plan:
    """Returns the limits of a search by this recipe, and the activations that it tries."""
    limits = recipe.search
    return Plan(limits.rounds, limits.seconds, candidates=Candidates(activations=activations_of(recipe)))


def activations_of(recipe: GraphsRecipe) -> tuple[ActivationName, ...]:
    """Returns the activations that neurons may have."""
    return get_args(ActivationName) if recipe.activation == "any" else (recipe.activation,)


def seeds_of(recipe: GraphsRecipe) -> tuple[int, ...]:
    """Returns a seed for each restart; different seeds of the recipe share no restart seed."""
    return tuple(recipe.seed * 1000 + number for number in range(recipe.search.restarts))


def planned_epochs(recipe: GraphsRecipe) -> dict[str, int]:
    """Returns the epochs of each stage in order; a search is one epoch, and the baselines take as long."""
    return dict.fromkeys((STAGE, BASELINES) if recipe.baselines else (STAGE,), 1)


def check_same_data(run: RunFolder, prepared: Prepared) -> None:
    """Notes on the first call which data a run is of, and refuses others later.

    Raises:
        DataError: If they have changed.
    """
    parts = {"points of": list(prepared.parts)}

    def digest(part: str) -> str:
        samples = prepared.parts[part]
        return sample_digest(np.ascontiguousarray(samples.inputs).tobytes(), samples.targets.tobytes())

    if run.splits.exists():
        read_sealed(run.splits, remedy="put a copy back, or begin a new run")
        check_content(run, parts, digest, prepared.source)
    else:
        keep_content(run, parts, digest)
        write_sealed(run.splits, {"points": {name: len(samples) for name, samples in prepared.parts.items()}})


class _Fitting:
    """One training: the searches, then what they are held against."""

    def __init__(self, recipe: GraphsRecipe, run: RunFolder, prepared: Prepared) -> None:
        self.recipe, self.run, self.prepared = recipe, run, prepared
        self.task, self.plan, self.seeds = make_task(prepared, recipe), make_plan(recipe), seeds_of(recipe)
        self.processes = min(len(self.seeds), os.cpu_count() or 1)
        self.stages = StagePlan(planned_epochs(recipe))

    def fit(self) -> GraphNetwork:
        outcome = self._search()
        network = self._network(outcome.best.graph)
        notes: dict[str, JSON] = {"problem": self.prepared.source, **self.run.recipe_note()}
        save_network(self.run.weights, network, notes=notes)
        self._save_front(outcome)
        self._tell(outcome.best)
        finished = self.run.finished_stages()
        if not self._is_over():
            logger.info("the search was interrupted: --resume goes on with it")
        elif BASELINES not in finished:
            if self.recipe.baselines:
                left = time_left(self._seconds_of_baselines(self._search_s))
                logger.info("%s: baselines, what the graph is held against  (%s)", self.stages.place(BASELINES), left)
            self._save_baselines(outcome.best)
            self.run.mark_finished(BASELINES)
        return network.eval()

    def _search(self) -> Outcome:
        count, place = len(self.seeds), self.stages.place(STAGE)
        logger.info("%s: search, %d restart%s of %d rounds", place, count, "" if count == 1 else "s", self.plan.rounds)
        error_of, later = self.prepared.error_of, self._seconds_of_baselines
        with shown_progress(self.plan, self.seeds, error_of, place=place, later=later) as show:

            def watch(seed: int, progress: Progress) -> None:
                show(seed, progress)
                error = error_of(progress.loss)
                row = {"restart": self.seeds.index(seed), "complexity": progress.complexity, "error": error}
                append_jsonl(self.run.metrics, {"stage": STAGE, "step": progress.round, **row})

            folder = self.run.stage(STAGE)
            folder.mkdir(parents=True, exist_ok=True)
            return search_restarts(
                self.task, self.plan, self.seeds, processes=self.processes, folder=folder, watch=watch
            )

    @property
    def _search_s(self) -> float:
        """Returns the seconds that the search took, or would take here with its restarts spread over the processes."""
        return float(sum(state["seconds"] for state in self._states())) / self.processes

    def _seconds_of_baselines(self, search_s: float) -> float:
        """Returns the seconds that the baselines take: layered networks are searched for as long as graphs."""
        return search_s + self.recipe.neat_seconds if self.recipe.baselines else 0.0

    def _network(self, standardised: Graph) -> GraphNetwork:
        prepared = self.prepared
        spread = prepared.parts["train"].inputs.std(axis=0)
        centre = prepared.parts["train"].inputs.mean(axis=0)
        return GraphNetwork(prepared.raw(standardised), prepared.encoding, centre=centre, spread=spread)

    def _save_front(self, outcome: Outcome) -> None:
        error_of = self.prepared.error_of
        points = [FrontPoint(member.complexity, error_of(member.loss)) for member in outcome.front]
        steps = [
            Step(restart, progress.round, progress.seconds, progress.complexity, error_of(progress.loss))
            for restart, history in enumerate(outcome.histories)
            for progress in history
        ]
        plain = {"points": [asdict(p) for p in points], "steps": [asdict(s) for s in steps]}
        write_sealed(front_path(self.run), {**plain, "graphs": outcome.front.to_json()})

    def _tell(self, best: Member) -> None:
        error = self.prepared.error_of(best.loss)
        allowed = self.recipe.allowed_complexity
        if allowed is not None and best.complexity > allowed:
            told = counted(best.complexity, "parameter")
            logger.warning(
                "no graph of at most %d was found in time: the one kept has %s; search longer", allowed, told
            )
        elif best.loss <= self.task.max_loss or self.recipe.max_error is None:
            logger.info("%s, error %.4g", counted(best.complexity, "parameter"), error)
        else:
            logger.warning(
                "no graph kept the bound of %g: the one of least error, %.4g, is kept; search longer, or bound less",
                self.recipe.max_error,
                error,
            )

    def _is_over(self) -> bool:
        """Tells whether every search has spent its rounds or its seconds."""
        states = self._states()
        are_over = all(self.plan.is_over(state["round"], state["seconds"]) for state in states)
        return len(states) == len(self.seeds) and are_over

    def _states(self) -> list[dict[str, Any]]:
        return [read_state(file) for file in sorted(self.run.stage(STAGE).glob("search-*.json"))]

    def _save_baselines(self, best: Member) -> None:
        seconds = sum(state["seconds"] for state in self._states())
        graph = measure_graph("graph", self.prepared.raw(best.graph), self.prepared, seconds=seconds)
        methods = [graph, *(self._baselines(best, seconds) if self.recipe.baselines else ())]
        missing = missing_libraries(wants_neat=self.recipe.neat_seconds > 0)
        write_sealed(self.run.baselines, {"methods": [asdict(method) for method in methods], "missing": list(missing)})

    def _baselines(self, best: Member, seconds: float) -> Iterator[Method]:
        recipe, prepared = self.recipe, self.prepared
        yield from self._layered(seconds)
        yield from simple_baselines(prepared, recipe.seed)
        yield from library_baselines(prepared, prepared.raw(best.graph).num_parameters, recipe.seed)
        if recipe.neat_seconds and not missing_libraries(wants_neat=True):
            yield from neat_baseline(prepared, seconds=recipe.neat_seconds, seed=recipe.seed)

    def _layered(self, seconds: float) -> Iterator[Method]:
        """Yields the smallest layered network that keeps the bound, or the best network of the size bound."""
        found = search_layered_restarts(
            self.task,
            seeds=self.seeds,
            seconds=seconds / len(self.seeds),
            activation=activations_of(self.recipe)[0],
            processes=self.processes,
        )
        chosen = found.best or found.least
        network = self._network(chosen.graph)
        save_network(layered_path(self.run), network)
        is_bounded = self.recipe.max_error is not None
        name = "smallest layered network" if is_bounded and found.best else "best layered network"
        note = layered_note(chosen.graph, found.fits)
        if is_bounded and not found.best:
            note += "; none kept the bound"
        yield measure_graph(name, network.graph, self.prepared, seconds=found.seconds, note=note)


def read_front(run: RunFolder) -> tuple[tuple[FrontPoint, ...], tuple[Step, ...]]:
    """Loads the Pareto front of a run and the course of its searches.

    Raises:
        DataError: If the run has no front.
    """
    plain = read_sealed(front_path(run), remedy=REMEDY)
    return tuple(FrontPoint(**p) for p in plain["points"]), tuple(Step(**s) for s in plain["steps"])


def read_front_graphs(run: RunFolder, prepared: Prepared) -> list[Graph]:
    """Loads the graphs of a run's Pareto front, on raw inputs, from the least complex to the most accurate."""
    members: Mapping[str, Any] = read_sealed(front_path(run), remedy=REMEDY)
    return [prepared.raw(member.graph) for member in Front.from_json(members["graphs"])]


def read_baselines(run: RunFolder) -> tuple[tuple[Method, ...], tuple[str, ...]]:
    """Loads the measured methods of a run, the graph first, and the names of those that could not be measured."""
    if not run.baselines.exists() and BASELINES not in run.finished_stages():  # the search was interrupted
        return (), ()
    plain = read_sealed(run.baselines, remedy=REMEDY)
    return tuple(Method(**method) for method in plain["methods"]), tuple(plain["missing"])
