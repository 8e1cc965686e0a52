"""What a report measures is what predict does: each wing's main figures, computed anew from a predictor's answers."""

import numpy as np
import pytest

from modicum import verbs
from modicum.systems import SYSTEMS, get_system


def classified(folder, recipe, predictor):
    """Accuracy and share of each route; another batch may tip one image at the edge between two answers."""
    from modicum.classify.evaluation import open_data

    data, point = open_data(recipe, folder), verbs.figures(folder.path).calibrated
    indices = data.splits.indices(data.source, "test")
    answers = list(predictor.predict_all([np.asarray(data.source.pixels(index)) for index in indices]))
    truth = [data.source.classes[data.source.records[index].label] for index in indices]
    yield point.worth, np.mean([a.label == name for a, name in zip(answers, truth, strict=True)]), 1.01 / len(truth)
    for route, share in point.shares.items():
        yield share, np.mean([answer.route == route for answer in answers]), 1.01 / len(truth)


def restored(folder, recipe, predictor):
    """PSNR; a file holds whole numbers, which the noise of a test image is not, hence the tolerance in dB."""
    from modicum.restore.metrics import mean_scores, score
    from modicum.restore.patches import DegradedImages
    from modicum.restore.pixels import quantise
    from modicum.restore.preparation import open_parts

    parts = open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, folder)
    pairs = list(DegradedImages(parts.part("test"), recipe.task, seed=recipe.seed))
    answers = [predictor(quantise(pair.degraded)).after.pixels for pair in pairs]
    found = mean_scores([score(a, pair.target, recipe.task) for a, pair in zip(answers, pairs, strict=True)])
    yield verbs.figures(folder.path).figures["methods"][0]["scores"]["psnr"], found.psnr, 0.3


def salient(folder, recipe, predictor):
    """All figures of the masks."""
    from modicum.saliency.metrics import Scorer
    from modicum.saliency.preparation import prepare

    scorer = Scorer()
    for name, pair in prepare(recipe, folder).pairs("test"):
        scorer.add(name, predictor(pair.pixels).mask, pair.mask)
    found = scorer.scores().figures
    for measure, value in verbs.figures(folder.path).figures["methods"][0]["figures"].items():
        yield value, getattr(found, measure), 2e-3  # a batch of eight rounds otherwise than one picture


def answered(folder, recipe, predictor):
    """Exact match and F1 of the answers."""
    from modicum.reading.asking import Ask
    from modicum.reading.metrics import score
    from modicum.reading.preparation import open_parts

    corpus = open_parts(recipe, folder)[0].test
    asks = [Ask(asked.passage.text, asked.question.text, asked.question.id) for asked in corpus.asked()]
    found = score(corpus, {answer.name: answer.text for answer in predictor.predict_all(asks)}).overall
    reported = verbs.figures(folder.path).figures["methods"][0]["figures"]
    yield reported["f1"], found.f1, 1e-3
    yield reported["exact"], found.exact, 1e-3


def predicted(folder, recipe, predictor):
    """The error of a drawn picture."""
    from modicum.graphs.preparation import prepare

    prepared = prepare(recipe)
    answer = predictor(np.zeros(prepared.size, np.uint8)).predicted
    error = np.sqrt(np.mean((answer.ravel() - prepared.parts["train"].targets.ravel()) ** 2))
    yield verbs.figures(folder.path).figures["methods"][0]["errors"]["train"], error, 1e-9


def detected(folder, recipe, predictor):
    """Average precision at an overlap of 0.5, and the share of the pixels that were read."""
    from modicum.detect.average_precision import judge_precision
    from modicum.detect.zoom.preparation import prepare

    data, evaluation = prepare(recipe, folder), verbs.figures(folder.path)
    indices = data.indices("test")
    answers = [predictor(data.source.pixels(index)).answer for index in indices]
    found = judge_precision([answer.found for answer in answers], [data.objects(index) for index in indices], [0.5])
    yield evaluation.calibrated.worth, found.total(), 1e-3
    yield evaluation.standings[0].pixels, np.mean([answer.share for answer in answers]), 1e-6


PREDICTED = {
    "classify": classified,
    "restore": restored,
    "saliency": salient,
    "reading": answered,
    "graphs": predicted,
    "detect": detected,
}


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_figures_of_the_report_are_those_of_the_predictors_answers(name, quick_run):
    run = verbs.open_run(quick_run(name)).run
    folder, recipe = run.folder, run.recipe
    compared = list(PREDICTED[get_system(name).wing](folder, recipe, verbs.predictor(folder.path)))
    assert compared
    for reported, found, tolerance in compared:
        assert found == pytest.approx(reported, abs=tolerance)
