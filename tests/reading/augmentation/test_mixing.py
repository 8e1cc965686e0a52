from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.augmentation.mixing import draw_mixture, mixing_ratios, mixing_weights
from modicum.reading.data.corpus import Origin


def origins(**counts):
    found = {name: None if name == "original" else Origin(name, "back-translation", 1.0) for name in counts}
    return [found[name] for name, count in counts.items() for _ in range(count)]


def test_sources_are_drawn_as_their_ratios_say():
    weights = mixing_weights(origins(original=10, fr=5, de=20), {"original": 3, "fr": 1, "de": 1})
    assert sum(weights) == pytest.approx(1)
    assert [sum(weights[:10]), sum(weights[10:15]), sum(weights[15:])] == pytest.approx([0.6, 0.2, 0.2])


def test_ratios_of_the_paper():
    assert mixing_ratios(origins(original=2, fr=2, de=2)) == {"original": 3, "de": 1, "fr": 1}
    assert mixing_ratios(origins(fr=2)) == {"fr": 1}


def test_ratio_of_zero_leaves_a_source_out():
    weights = mixing_weights(origins(original=2, fr=2), {"original": 1, "fr": 0})
    assert weights == [0.5, 0.5, 0, 0]
    assert set(draw_mixture(weights, 50, np.random.default_rng(0))) == {0, 1}


@pytest.mark.parametrize("ratios", [{"original": 3}, {"original": 3, "fr": 1, "de": 1}])
def test_ratios_must_name_just_the_sources(ratios):
    with pytest.raises(ValueError, match=r"just the sources \['fr', 'original'\]"):
        mixing_weights(origins(original=2, fr=2), ratios)


@pytest.mark.parametrize("ratio", [-1.0, float("nan"), float("inf")])
def test_impossible_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match="finite, none negative, and not all 0"):
        mixing_weights(origins(original=2, fr=2), {"original": 3, "fr": ratio})


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 5))
def test_each_question_is_drawn_as_often_as_its_weight_says(values, total, seed):
    weights = np.array(values) / sum(values)
    counts = Counter(draw_mixture(weights.tolist(), total, np.random.default_rng(seed)))
    assert sum(counts.values()) == total
    assert all(abs(counts[place] - weight * total) < 1 + 1e-6 for place, weight in enumerate(weights))


def test_order_depends_on_the_generator_alone():
    weights = mixing_weights(origins(original=10, fr=5), {"original": 3, "fr": 1})
    first, second, other = (draw_mixture(weights, 20, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == second
    assert first != other
