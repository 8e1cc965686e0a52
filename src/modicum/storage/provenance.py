"""What a result was made with: versions and times."""

import platform
from datetime import UTC, datetime
from importlib import metadata

_PACKAGES = ("modicum", "torch", "torchvision", "timm", "lightning")


def versions() -> dict[str, str]:
    """Returns the versions of Python, the platform and the packages that affect results; imports none of them.

    Returns:
        By name; a package that is not installed is left out.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def modicum_version() -> str:
    """Returns the version of this package; ``"unknown"`` if it runs from source without being installed."""
    try:
        return metadata.version("modicum")
    except metadata.PackageNotFoundError:
        return "unknown"


def utc_now() -> str:
    """Returns the current time as ISO 8601 in UTC, to the second: ``2026-01-31T23:59:59+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")
