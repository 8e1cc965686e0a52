import pytest

from modicum.imaging.normalisation import check_normalisation

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


def test_usual_numbers_are_accepted():
    check_normalisation(MEAN, STD)
    check_normalisation([0, 0, 0], [1, 1, 1])


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.4), STD, "three finite numbers"),
        ((0.5, 0.4, float("nan")), STD, "three finite numbers"),
        (MEAN, (0.2, 0.2, float("inf")), "three finite numbers"),
        (("0.5", 0.4, 0.3), STD, "three finite numbers"),
        ((0.5, 0.4, 123.7), STD, r"mean must be in \[0, 1\], as pixels are before they are normalised, got .*123.7"),
        (MEAN, (0.2, 0.2, 0), r"std must be in \[0.001, 10\], got .*0\)"),
        (MEAN, (0.2, 0.2, -0.2), "std must be in"),
        (MEAN, (0.2, 1e-30, 0.2), "std must be in"),
    ],
)
def test_absurd_numbers_are_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        check_normalisation(mean, std)
