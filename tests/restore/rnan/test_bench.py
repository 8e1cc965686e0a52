import pytest


@pytest.fixture(scope="module")
def rows(quick_rows):
    return quick_rows("rnan")


def test_every_target_of_attention_has_its_row_in_both_directions(rows):
    targets = [(row.unit, row.target, row.sense) for row in rows if row.target is not None]

    assert targets == [
        *[("x published layer", 3.0, "at least")] * 2,
        *[("ratio", 0.05, "at most")] * 2,
        *[("MiB", 300.0, "at most")] * 2,
    ]


def test_names_tell_rows_of_a_unit_apart(rows):
    names = [(row.name, row.unit) for row in rows]

    assert len(set(names)) == len(names)


def test_figures_are_positive(rows):
    assert all(row.value > 0 for row in rows if "memory" not in row.name)
