import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.evidence import executed_outcome, remembered, score, tabulate

IDS = tuple(f"image{i}" for i in range(40))
ROUTES = st.lists(st.integers(0, 2), min_size=40, max_size=40).map(torch.tensor)


class FixedLogits:
    """Gives logits (N, R, K) that are known beforehand; the images are the numbers of the samples."""

    def __init__(self, logits):
        self.logits = torch.as_tensor(logits)
        self.costs = MenuCosts(tuple("abc"[: self.logits.shape[1]]), (1.0, 2.0, 3.0)[: self.logits.shape[1]])

    def run(self, images, routes):
        return self.logits[images.long(), routes]

    def batches(self, labels, size=3):
        numbers = torch.arange(len(self.logits))
        return list(zip(numbers.split(size), torch.tensor(labels).split(size), strict=True))


class TestScore:
    def test_scores_of_all_batches_in_order(self, case):
        assert_close(case.scored.scores, case.model.scores(case.images), atol=1e-5, rtol=1e-5)
        assert case.scored.labels.tolist() == torch.cat([labels for _, labels in case.batches]).tolist()
        assert case.scored.ids == IDS

    def test_more_ids_than_samples_are_refused(self, case):
        with pytest.raises(ValueError, match="ids must name each sample once: 41 names for 40 samples"):
            score(case.model, case.batches, (*IDS, "another"))

    def test_repeated_id_is_refused(self, case):
        with pytest.raises(ValueError, match="ids must name each sample once: 39 names for 40 samples"):
            score(case.model, case.batches, (*IDS[:-1], IDS[0]))

    def test_no_batches_are_refused(self, case):
        with pytest.raises(ValueError, match="batches hold no samples"):
            score(case.model, [], ())


class TestTable:
    @settings(deadline=None, max_examples=10)
    @given(routes=ROUTES)
    def test_table_equals_execution(self, listed_case, routes):
        executed = executed_outcome(listed_case.model, listed_case.batches)(routes)
        assert torch.equal(listed_case.table.outcome(routes), executed)

    def test_probabilities_equal_those_of_each_route(self, listed_case):
        table = tabulate(listed_case.model, listed_case.batches, listed_case.model.costs)
        for route in range(3):
            logits = listed_case.model.run(listed_case.images, torch.full((40,), route))
            assert torch.equal(table.predicted[:, route], logits.argmax(dim=1))
            assert_close(table.confidence[:, route], logits.softmax(dim=1).amax(dim=1), atol=1e-5, rtol=1e-5)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 1000), num_classes=st.integers(2, 9))
    def test_hits_equal_those_by_sorting(self, seed, num_classes):
        generator = np.random.default_rng(seed)
        logits = generator.permuted(np.arange(5 * 2 * num_classes, dtype=np.float32)).reshape(5, 2, num_classes)
        labels = generator.integers(num_classes, size=5)
        model = FixedLogits(logits)
        table = tabulate(model, model.batches(labels), model.costs)
        ranked = (-logits).argsort(axis=2)
        assert table.predicted.tolist() == ranked[:, :, 0].tolist()
        assert table.top1.tolist() == (ranked[:, :, 0] == labels[:, None]).tolist()
        assert table.top5.tolist() == (ranked[:, :, :5] == labels[:, None, None]).any(axis=2).tolist()

    def test_equal_probabilities_do_not_hide_the_class(self):
        logits = torch.tensor([[[0.0, 1e-9, -1.0]]])  # the softmax of the first two is the same number
        model = FixedLogits(logits)
        table = tabulate(model, model.batches([1]), model.costs)
        assert table.predicted.tolist() == [[1]]

    def test_half_precision_logits_are_told_apart_as_in_execution(self):
        logits = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
        model = FixedLogits(logits)
        batches = model.batches([0] * 20)
        routes = torch.arange(20) % 3
        table = tabulate(model, batches, model.costs)
        assert table.confidence.dtype == torch.float32
        assert torch.equal(table.outcome(routes), executed_outcome(model, batches)(routes))

    def test_no_samples_have_no_outcome(self, listed_case):
        assert listed_case.table.top1.shape == (40, 3)
        nothing = tabulate(
            listed_case.model, [(listed_case.images[:0], torch.empty(0, dtype=torch.int64))], listed_case.model.costs
        )
        assert nothing.outcome(torch.empty(0, dtype=torch.int64)).shape == (0,)

    def test_routes_too_many_to_list_are_refused(self, block_case):
        with pytest.raises(ValueError, match="too many to list: use executed_outcome instead"):
            tabulate(block_case.model, block_case.batches, block_case.model.costs)


class TestExecutedOutcome:
    def test_it_runs_what_it_is_given(self, block_case):
        routes = torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.5
        logits = block_case.model.run_masked(block_case.images, routes)
        assert torch.equal(block_case.outcome(routes), logits.argmax(dim=1) == block_case.scored.labels)

    def test_it_may_be_asked_again(self, block_case):
        routes = torch.ones(40, 6, dtype=torch.bool)
        assert torch.equal(block_case.outcome(routes), block_case.outcome(routes))

    def test_more_routes_than_samples_are_refused(self, block_case):
        with pytest.raises(ValueError, match="routes must name one route per sample, got 41 for 40 samples"):
            block_case.outcome(torch.ones(41, 6, dtype=torch.bool))


class TestRemembered:
    def test_known_routes_are_looked_up_and_others_executed(self):
        asked = []

        def outcome(routes):
            asked.append(routes)
            return routes > 1

        look_up = remembered(outcome)
        first, other = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 2])
        answers = [look_up(routes) for routes in (first, other, first.clone(), torch.tensor([[0, 1], [2, 2]])[:, 0])]
        assert [answer.tolist() for answer in answers] == [
            [False, False, True],
            [True, False, True],
            [False, False, True],
            [False, True],
        ]
        assert len(asked) == 3

    def test_keep_vectors_that_differ_in_one_unit_are_told_apart(self):
        look_up = remembered(lambda routes: routes.sum(dim=1) > 1)
        keep = torch.tensor([[True, False, False], [True, True, False]])
        assert look_up(keep).tolist() == [False, True]
        assert look_up(keep.flip(1) | keep).tolist() == [True, True]
