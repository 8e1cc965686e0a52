"""Shares, between exports of classifiers that decide step by step, what the manifest states and how it is checked."""

from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from modicum.adaptive.cascades import NestedThresholds
from modicum.classify.cascade.deciding import describe
from modicum.classify.cascade.runner import OnnxCascade
from modicum.classify.exiting import ExitingClassifier
from modicum.exporting.classifiers import stated_costs
from modicum.exporting.writing import Outputs, compare_answers, excuse_routes
from modicum.storage.files import JSON

TOLERANCE = 1e-4


def describe_steps(network: ExitingClassifier) -> dict[str, JSON]:
    """Returns what a manifest states of the decision and of the costs."""
    rule = network.policy
    assert isinstance(rule, NestedThresholds)  # such a classifier is built and stored with no other
    table = rule.table.values().cpu().numpy()
    return {
        "image_px": network.image_px,
        "decision": {
            **describe(table, average=network.average, confidence=network.confidence),
            "temperatures": network.temperatures.values().tolist(),  # for the record: they are in the graphs
        },
        "costs": stated_costs(asdict(network.costs)),
    }


def check_steps(network: ExitingClassifier, runner: OnnxCascade) -> float:
    """Compares an exported folder with the network that it was made of; see ``check`` of `write_export`.

    Every step is run on every sample; then the decision is compared on the same scores, so that samples at the edge
    between two steps cannot fail for their last digit, and the compacted run on the steps that it took.

    Args:
        network: On the CPU, in single precision and evaluation mode.
        runner: Of its export.

    Returns:
        The worst difference.

    Raises:
        ExportError: If it exceeds 1e-4; the message names the output.
    """
    return compare_answers(partial(_answers, network, runner), network.image_px, TOLERANCE)


@torch.inference_mode()
def _answers(network: ExitingClassifier, runner: OnnxCascade, images: Tensor) -> tuple[Outputs, Outputs]:
    """Outputs by name, of the network and of its export."""
    array = images.numpy()
    every, answers, result = network.every_step(images), runner.every_step(array), runner.predict(array)
    sure, routes = torch.from_numpy(answers.sure), torch.from_numpy(result.routes)
    expected = {
        "log-probabilities of every step": every.logits,
        "scores": every.sure,
        "routes": network.policy.decide(sure, runner.knob),
        "routes of the run": excuse_routes(network.policy, sure, routes, runner.knob, TOLERANCE),
        "logits": network.run(images, routes),
        "macs": network.costs.of(routes),
    }
    found: Outputs = {"log-probabilities of every step": answers.logs, "scores": answers.sure}
    found |= {"routes": runner.decide(answers.sure), "routes of the run": result.routes}
    found |= {"logits": result.logits, "macs": result.macs}
    return {name: value.numpy() for name, value in expected.items()}, found
