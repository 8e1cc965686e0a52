import pytest


def test_every_cheaper_member_is_held_against_the_dearest(quick_rows):
    targets = [row for row in quick_rows("static") if row.target is not None]
    assert {row.name.split(",")[1].strip() for row in targets} == {"digit_resnet / cifar_resnet8"}
    assert all((row.target, row.sense) == (1.0, "at most") for row in targets)


def test_promised_ratio_is_that_of_the_multiply_adds(quick_rows):
    (row,) = [row for row in quick_rows("static") if row.name.startswith("multiply-adds")]
    assert row.value == pytest.approx(3_060_352 / 12_239_488)
