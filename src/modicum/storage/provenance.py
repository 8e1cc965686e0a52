"""What a result was made with: versions and times."""

import platform
from datetime import UTC, datetime
from importlib import metadata

_PACKAGES = ("modicum", "torch", "torchvision", "timm", "lightning")


def versions() -> dict[str, str]:
    """Versions of Python, the platform, and the installed packages that shape a result; nothing of them is imported.

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
    """Version of this package, ``"unknown"`` where it runs from its sources without being installed."""
    try:
        return metadata.version("modicum")
    except metadata.PackageNotFoundError:
        return "unknown"


def utc_now() -> str:
    """The time now as ISO 8601 in UTC, to the second: ``2026-01-31T23:59:59+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")
