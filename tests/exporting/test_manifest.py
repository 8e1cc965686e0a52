import json

import pytest

from modicum.exporting import ExportError, describe_graph, read_manifest, write_manifest
from modicum.storage.errors import DataError
from modicum.storage.sealing import write_sealed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"graph")
    (tmp_path / "net.onnx.data").write_bytes(b"weights")
    graph = describe_graph(tmp_path / "net.onnx", ["images"], ["logits"], 18)
    write_manifest(tmp_path, system="drnet", graphs={"net": graph}, details={"knob": 0.5})
    return tmp_path


def change(folder, **fields):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    write_sealed(path, content | fields)


def test_what_was_written_is_read(folder):
    manifest = read_manifest(folder, system="drnet", needed=["knob"])
    assert manifest.graphs == {"net": describe_graph(folder / "net.onnx", ["images"], ["logits"], 18)}
    assert manifest.details == {"knob": 0.5}


def test_weights_beside_the_graph_are_listed(folder):
    assert read_manifest(folder, system="drnet").graphs["net"].sha256.keys() == {"net.onnx", "net.onnx.data"}


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"holds no export: manifest\.json is missing"):
        read_manifest(tmp_path, system="drnet")


@pytest.mark.parametrize("name", ["net.onnx", "net.onnx.data"])
def test_a_changed_file_is_refused(folder, name):
    (folder / name).write_bytes(b"other")
    with pytest.raises(ExportError, match=rf"{name} is not what was exported"):
        read_manifest(folder, system="drnet")


def test_a_missing_file_is_refused(folder):
    (folder / "net.onnx").unlink()
    with pytest.raises(ExportError, match=r"net\.onnx is missing: copy the whole folder"):
        read_manifest(folder, system="drnet")


def test_a_newer_version_is_refused(folder):
    change(folder, format_version=3, modicum_version="9.0")
    with pytest.raises(ExportError, match=r"format version 3, written by modicum 9\.0; .* upgrade modicum"):
        read_manifest(folder, system="drnet")


def test_another_format_is_refused(folder):
    change(folder, format="other")
    with pytest.raises(ExportError, match="is not a manifest of modicum: its format is 'other'"):
        read_manifest(folder, system="drnet")


def test_another_system_is_refused(folder):
    with pytest.raises(ExportError, match="an export of 'drnet', not of 'ranet'"):
        read_manifest(folder, system="ranet")


def test_a_detail_that_the_runner_needs_is_named(folder):
    with pytest.raises(ExportError, match="does not state classes; export again"):
        read_manifest(folder, system="drnet", needed=["classes", "knob"])


def test_a_damaged_entry_is_refused(folder):
    change(folder, graphs={"net": {}})
    with pytest.raises(ExportError, match=r"manifest\.json is damaged"):
        read_manifest(folder, system="drnet")


def test_a_graph_without_hash_is_refused(folder):
    change(folder, graphs={"net": {"file": "a", "input_names": [], "output_names": [], "opset": 18, "sha256": {}}})
    with pytest.raises(ExportError, match="has no hash of a; export again"):
        read_manifest(folder, system="drnet")


def test_a_file_outside_the_folder_is_refused(folder):
    graph = {"file": "../a", "input_names": [], "output_names": [], "opset": 18, "sha256": {"../a": ""}}
    change(folder, graphs={"net": graph})
    with pytest.raises(ExportError, match="names a file outside its folder"):
        read_manifest(folder, system="drnet")


def test_a_changed_manifest_is_refused(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"knob": 0.5', '"knob": 0.6'))
    with pytest.raises(
        DataError, match=r"manifest\.json is not as it was written \(its digest differs\): copy the whole"
    ):
        read_manifest(folder, system="drnet")


def test_a_manifest_without_its_digest_is_refused(folder):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"manifest\.json is damaged: it has lost its digest; export again"):
        read_manifest(folder, system="drnet")


def test_an_export_of_an_older_version_is_refused_with_what_to_do(folder):
    change(folder, format_version=1)
    with pytest.raises(ExportError, match="written by an older modicum, without a digest of itself: export again"):
        read_manifest(folder, system="drnet")


def test_a_changed_file_beside_the_graphs_is_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"graph")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocabulary.json").write_text("[]")
    graph = describe_graph(tmp_path / "net.onnx", ["images"], ["logits"], 18)
    write_manifest(tmp_path, system="drnet", graphs={"net": graph}, details={})
    read_manifest(tmp_path, system="drnet")
    (tmp_path / "words" / "vocabulary.json").write_text("{}")
    with pytest.raises(ExportError, match=r"vocabulary\.json is not what was exported"):
        read_manifest(tmp_path, system="drnet")
