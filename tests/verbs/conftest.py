import pytest


@pytest.fixture(autouse=True, scope="module")
def _hurried(hurried):
    """Reports of these tests are read for their words, not for their times."""
