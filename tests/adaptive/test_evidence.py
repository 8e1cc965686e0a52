import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from modicum.adaptive.evidence import cached, executed_outcome, score, tabulate
from modicum.adaptive.worth import MeanWorth


def judge_hits(logits, labels):
    return MeanWorth(logits.argmax(dim=1) == labels)


IDS = tuple(f"image{i}" for i in range(40))
ROUTES = st.lists(st.integers(0, 2), min_size=40, max_size=40).map(torch.tensor)


class TestScore:
    def test_scores_of_all_batches_in_order(self, case):
        assert_close(case.scored.scores, case.model.scores(case.images), atol=1e-5, rtol=1e-5)
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
        executed = executed_outcome(listed_case.model, listed_case.batches, judge_hits)(routes)
        assert torch.equal(listed_case.table.outcome(routes).each(), executed.each())

    def test_no_samples_have_no_outcome(self, listed_case):
        assert listed_case.table.each().shape == (40, 3)
        nothing = tabulate(listed_case.model, [(listed_case.images[:0], listed_case.labels[:0])], judge_hits)
        assert len(nothing.outcome(torch.empty(0, dtype=torch.int64))) == 0

    def test_routes_too_many_to_list_are_refused(self, block_case):
        with pytest.raises(ValueError, match="too many to list: use executed_outcome instead"):
            tabulate(block_case.model, block_case.batches, judge_hits)


class TestExecutedOutcome:
    def test_it_runs_what_it_is_given(self, block_case):
        routes = torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.5
        logits = block_case.model.run_masked(block_case.images, routes)
        assert torch.equal(block_case.outcome(routes).values, logits.argmax(dim=1) == block_case.labels)

    def test_it_may_be_asked_again(self, block_case):
        routes = torch.ones(40, 6, dtype=torch.bool)
        assert block_case.outcome(routes).total() == block_case.outcome(routes).total()

    def test_more_routes_than_samples_are_refused(self, block_case):
        with pytest.raises(ValueError, match="routes must name one route per sample, got 41 for 40 samples"):
            block_case.outcome(torch.ones(41, 6, dtype=torch.bool))


class TestCached:
    def test_known_routes_are_looked_up_and_others_executed(self):
        asked = []

        def outcome(routes):
            asked.append(routes)
            return MeanWorth(routes > 1)

        look_up = cached(outcome)
        first, other = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 2])
        answers = [look_up(routes) for routes in (first, other, first.clone(), torch.tensor([[0, 1], [2, 2]])[:, 0])]
        assert [answer.values.tolist() for answer in answers] == [
            [False, False, True],
            [True, False, True],
            [False, False, True],
            [False, True],
        ]
        assert len(asked) == 3

    def test_keep_vectors_that_differ_in_one_unit_are_told_apart(self):
        look_up = cached(lambda routes: MeanWorth(routes.sum(dim=1) > 1))
        keep = torch.tensor([[True, False, False], [True, True, False]])
        assert look_up(keep).values.tolist() == [False, True]
        assert look_up(keep.flip(1) | keep).values.tolist() == [True, True]

    def test_windows_that_are_split_otherwise_are_told_apart(self):
        """Both lists hold the same numbers."""
        windows = torch.arange(12).reshape(3, 4)
        look_up = cached(lambda routes: MeanWorth(torch.tensor([len(own) for own in routes])))
        assert look_up([windows[:1], windows[1:]]).values.tolist() == [1, 2]
        assert look_up([windows[:2], windows[2:]]).values.tolist() == [2, 1]
