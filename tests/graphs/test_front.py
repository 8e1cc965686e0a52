import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.graphs.front import Front, Member
from modicum.graphs.graph import Graph

GRAPH = Graph.linear(1)
PAIRS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5])), max_size=20)


def front_of(pairs):
    front = Front()
    for complexity, loss in pairs:
        front.add(Member(complexity, loss, GRAPH))
    return front


@given(PAIRS)
def test_front_holds_exactly_what_nothing_beats(pairs):
    unbeaten = {
        pair for pair in pairs
        if not any(other != pair and other[0] <= pair[0] and other[1] <= pair[1] for other in pairs)
    }  # fmt: skip
    assert [(member.complexity, member.loss) for member in front_of(pairs)] == sorted(unbeaten)


@given(PAIRS.filter(len), st.integers(1, 9), st.sampled_from([0.1, 0.3, 0.5]))
def test_choices_are_those_of_a_plain_search(pairs, complexity, loss):
    front = front_of(pairs)
    within = [pair for pair in pairs if pair[1] <= loss]
    small = [pair for pair in pairs if pair[0] <= complexity]
    if within:
        assert front.smallest(loss).complexity == min(within)[0]
    else:
        assert front.smallest(loss).loss == min(pair[1] for pair in pairs)
    if small:
        assert front.most_accurate(complexity).loss == min(pair[1] for pair in small)
    else:
        assert front.most_accurate(complexity).complexity == min(pairs)[0]


def test_add_tells_whether_it_took_the_member():
    front = front_of([(5, 0.2)])
    assert front.add(Member(4, 0.3, GRAPH))
    assert not front.add(Member(6, 0.2, GRAPH))


def test_an_empty_front_has_no_best():
    with pytest.raises(LookupError, match="the front is empty: no graph has been fitted yet"):
        Front().smallest(1.0)


def test_front_survives_json():
    graph = Graph.layered((2, 2, 1), rng=np.random.default_rng(0))
    front = Front()
    front.add(Member(9, 1 / 3, graph))
    again = Front.from_json(json.loads(json.dumps(front.to_json())))
    assert [(member.complexity, member.loss) for member in again] == [(9, 1 / 3)]
    assert next(iter(again)).graph == graph
