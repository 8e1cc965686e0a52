import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "benchmarks" / "qanet_reference.py"


def load_reference():
    spec = importlib.util.spec_from_file_location("qanet_reference", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()
NAN = float("nan")


@pytest.mark.parametrize(
    ("difference", "ratio", "bucketing", "is_met"),
    [
        (1e-6, 3.5, 2.2, True),
        (1e-4, 3.5, 2.2, False),
        (1e-6, 2.9, 2.2, False),
        (1e-6, 3.5, 1.9, False),
        (NAN, 3.5, 2.2, False),
    ],
)
def test_a_claim_holds_only_where_answers_agree_and_both_speeds_suffice(difference, ratio, bucketing, is_met):
    assert reference.meets(difference, ratio, bucketing) == is_met


@pytest.mark.parametrize(
    ("width", "heads", "char_dim", "parameters"),
    [(128, 8, 64, 1_210_633), (96, 1, 64, 703_753), (128, 8, 200, 1_311_273)],
)
def test_the_reference_has_the_size_of_the_public_port(width, heads, char_dim, parameters):
    network = reference.PlainQANet(word_dim=300, characters=100, char_dim=char_dim, width=width, heads=heads)

    assert sum(each.numel() for each in network.parameters()) == parameters + 2 * 300
