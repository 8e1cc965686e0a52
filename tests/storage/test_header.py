import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from modicum.storage import Header, WeightsError, read_header

METADATA = {
    "format": "modicum",
    "format_version": "1",
    "modicum_version": "0.1.0",
    "network": "tiny",
    "config": '{"width": 2}',
    "notes": '{"accuracy": 0.9}',
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def write(path, **changes):
    """Writes a weights file; a change to ``None`` drops an entry of its metadata."""
    metadata = METADATA | changes
    save_file({"a": np.ones((3, 4), np.float32)}, path, {k: v for k, v in metadata.items() if v is not None})


def test_it_tells_name_config_version_and_notes(path):
    write(path)
    assert read_header(path) == Header("tiny", {"width": 2}, "0.1.0", {"accuracy": 0.9})


def test_notes_may_be_absent(path):
    write(path, notes=None)
    assert read_header(path).notes == {}


def test_run_folder_stands_for_its_weights(path):
    write(path)
    assert read_header(path.parent).network == "tiny"


def test_no_torch_is_needed(path):
    write(path)
    code = "import sys, modicum.storage as s; s.read_header(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_missing_file_is_refused(path):
    with pytest.raises(
        WeightsError, match=r"model\.safetensors does not exist: give a \.safetensors file or a run folder"
    ):
        read_header(path)


def test_run_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors: its training has not finished; resume it"):
        read_header(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 8, 60, -1])
def test_truncated_file_is_refused(path, keep):
    write(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"model\.safetensors is truncated \(\d+ bytes\): copy or download it again"):
        read_header(path)


def with_length(text):
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 a pickle of torch.save",
        with_length(b"[]"),
        with_length(b"{]}"),
        with_length(b'{"a": "no"}'),
        with_length(b'{"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 4]}}'),
        with_length(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, "4"]}}'),
        with_length(b'{"__metadata__": null}'),
        with_length(b"[" * 200_000),
        with_length(b"\xff"),
    ],
)
def test_other_content_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors is not a safetensors file: give what save_network"):
        read_header(path)


@pytest.mark.parametrize("written_by", [None, "pt"])
def test_safetensors_of_another_program_is_refused(path, written_by):
    write(path, format=written_by)
    with pytest.raises(WeightsError, match=r"is a safetensors file that modicum did not write: .*load_model"):
        read_header(path)


def test_newer_format_is_refused(path):
    write(path, format_version="2", modicum_version="9.1")
    message = r"format version 2, written by modicum 9\.1; this modicum .* reads up to 1: update your clone of modicum"
    with pytest.raises(WeightsError, match=message):
        read_header(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": "one"},
        {"format_version": None},
        {"modicum_version": None},
        {"network": None},
        {"config": None},
        {"config": "{"},
        {"config": "[]"},
        {"config": "[" * 200_000},
        {"notes": "3"},
    ],
)
def test_damaged_metadata_is_refused(path, changes):
    write(path, **changes)
    with pytest.raises(WeightsError, match=r"has damaged metadata \(.*\): write it again with save_network"):
        read_header(path)


def test_metadata_that_is_no_text_is_refused(path):
    path.write_bytes(with_length(json.dumps({"__metadata__": METADATA | {"config": 3}}).encode()))
    with pytest.raises(WeightsError, match="has damaged metadata"):
        read_header(path)
