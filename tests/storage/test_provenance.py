import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata

from modicum.storage.provenance import utc_now, versions


def test_versions_name_python_and_what_is_installed():
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"] == metadata.version("torch")


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert versions().keys() == {"python", "platform"}


def test_versions_import_nothing():
    code = (
        "from modicum.storage import versions; versions(); import sys; assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_time_is_utc():
    assert abs(datetime.fromisoformat(utc_now()) - datetime.now(UTC)) < timedelta(minutes=1)
