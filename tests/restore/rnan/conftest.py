import pytest


@pytest.fixture(scope="session")
def quick_options(photos_folder):
    """A training of seconds, with all that a resumption must not lose."""
    return {
        "data": str(photos_folder),
        "task": {"name": "denoise", "level": 50},
        "network": {"features": 4, "local_groups": 0, "non_local": True, "value_range": 1.0},
        "patches": {"side": 16, "batch_size": 4, "per_epoch": 40, "validation_side": 16},
        "epochs": 3,
        "learning_rate": 0.002,
        "schedule": {"kind": "one_cycle"},
        "gradient_clip": 1.0,
        "ema_decay": 0.9,
        "tile": 32,
        "halo": 4,
        "trainer": {"accelerator": "cpu", "threads": 1},
    }
