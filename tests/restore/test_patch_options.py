import pytest

from modicum.restore.patch_options import PatchOptions
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 47}, r"patches.side must be an even number of pixels, at least 16, got 47"),
        ({"validation_side": 8}, r"patches.validation_side must be an even number .* got 8"),
        ({"batch_size": 0}, r"patches.batch_size must be at least 1, got 0"),
        ({"per_epoch": 0}, r"patches.per_epoch must be at least 1, got 0"),
        ({"memory_gib": -1}, r"patches.memory_gib must be at least 0, got -1"),
        ({"test_share": 0.95}, r"calibration_share and patches.test_share .* leave something .* got 0.1 and 0.95"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        PatchOptions(**options)


def test_defaults_are_the_published_ones():
    options = PatchOptions()
    assert (options.side, options.batch_size, options.per_epoch) == (48, 16, 16 * 1000)
