"""The manifest beside exported graphs: which there are, how they are fed, and whether the files are as written."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modicum.exporting.parity import ExportError
from modicum.storage.files import JSON, read_json_object
from modicum.storage.provenance import modicum_version
from modicum.storage.sealing import DIGEST_KEY, read_sealed, write_sealed

MANIFEST_NAME = "manifest.json"
FORMAT = "modicum-export"
FORMAT_VERSION = 2  # 1 had no digest of itself and of the other files


@dataclass(frozen=True)
class Graph:
    """One exported graph.

    Attributes:
        file: Name of the ONNX file, in the folder of the manifest.
        input_names: In the order of the network's arguments.
        output_names: In the order of the network's results.
        opset: Version of the ONNX operators.
        sha256: Hash by name of each file that the graph consists of: the ONNX file, and its weights where they exceed
            the 2 GB that one file can hold.
    """

    file: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    opset: int
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """What an exported folder holds.

    Attributes:
        system: Id of the exported system, e.g. ``"drnet"``.
        graphs: By role, as the runner of the system knows them.
        details: What else that runner needs; plain JSON.
        modicum_version: What wrote it.
        files: Hash by name of the other files of the folder, in sub-folders with ``/``.
    """

    system: str
    graphs: Mapping[str, Graph]
    details: Mapping[str, Any]
    modicum_version: str
    files: Mapping[str, str]


def weights_path(path: Path) -> Path:
    """Returns the file for the weights of the ONNX file at ``path``, used if they exceed its limit of 2 GB."""
    return path.with_name(f"{path.name}.data")


def describe_graph(path: Path, input_names: Sequence[str], output_names: Sequence[str], opset: int) -> Graph:
    """Returns the manifest's entry for the ONNX file at ``path``, and the file of weights beside it if there is one."""
    hashes = {file.name: _hash_file(file) for file in (path, weights_path(path)) if file == path or file.is_file()}
    return Graph(path.name, tuple(input_names), tuple(output_names), opset, hashes)


def write_manifest(
    folder: str | Path, *, system: str, graphs: Mapping[str, Graph], details: Mapping[str, JSON]
) -> Path:
    """Writes ``manifest.json`` atomically, after all other files; see `Manifest` for the arguments.

    Returns:
        Path of the file.

    Raises:
        ValueError: If ``details`` are not plain JSON data.
    """
    path = Path(folder) / MANIFEST_NAME
    of_graphs = {name for graph in graphs.values() for name in graph.sha256}
    names = {file.relative_to(folder).as_posix(): file for file in sorted(Path(folder).rglob("*")) if file.is_file()}
    files = {name: _hash_file(file) for name, file in names.items() if name not in of_graphs | {MANIFEST_NAME}}
    write_sealed(
        path,
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "modicum_version": modicum_version(),
            "system": system,
            "graphs": {role: asdict(graph) for role, graph in graphs.items()},
            "details": details,
            "files": files,
        },
    )
    return path


def read_manifest(folder: str | Path, *, system: str, needed: Collection[str] = ()) -> Manifest:
    """Reads the manifest of an exported folder and checks the files against their hashes.

    Args:
        folder: What `write_manifest` wrote to.
        system: Id of the system that the caller can run.
        needed: Keys of `Manifest.details` that the caller requires.

    Raises:
        ExportError: If there is no manifest, it is of another format, a newer version or another system, or a file is
            missing or changed.
        DataError: If the manifest is not JSON.
    """
    folder = Path(folder)
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ExportError(f"{folder} holds no export: {MANIFEST_NAME} is missing; name the folder that was exported to")
    _check_version(path, read_json_object(path))
    content = read_sealed(path, remedy="copy the whole folder again, or export again")
    try:
        manifest = _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{path} is damaged ({type(error).__name__}: {error}): export again") from error
    if manifest.system != system:
        raise ExportError(f"{folder} holds an export of {manifest.system!r}, not of {system!r}")
    if missing := sorted(set(needed) - manifest.details.keys()):
        raise ExportError(f"{path} is damaged: it does not state {', '.join(missing)}; export again")
    for graph in manifest.graphs.values():
        if graph.file not in graph.sha256:
            raise ExportError(f"{path} is damaged: it has no hash of {graph.file}; export again")
        _check_files(folder, graph.sha256)
    _check_files(folder, manifest.files)
    return manifest


def _parse(content: Mapping[str, Any]) -> Manifest:
    graphs = {
        role: Graph(
            file=entry["file"],
            input_names=tuple(entry["input_names"]),
            output_names=tuple(entry["output_names"]),
            opset=entry["opset"],
            sha256=dict(entry["sha256"]),
        )
        for role, entry in content["graphs"].items()
    }
    return Manifest(
        content["system"], graphs, dict(content["details"]), content["modicum_version"], dict(content["files"])
    )


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    if content.get("format") != FORMAT:
        raise ExportError(f"{path} is not a manifest of modicum: its format is {content.get('format')!r}")
    version = content.get("format_version")
    if isinstance(version, int) and version < FORMAT_VERSION:
        raise ExportError(f"{path} was written by an older modicum, without a digest of itself: export again")
    if DIGEST_KEY not in content and version == FORMAT_VERSION:
        raise ExportError(f"{path} is damaged: it has lost its digest; export again")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ExportError(
            f"{path} has format version {version}, written by modicum {content.get('modicum_version')}; this modicum "
            f"reads up to version {FORMAT_VERSION}: upgrade modicum, or export again with this one"
        )


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ExportError(f"{folder / MANIFEST_NAME} names a file outside its folder, {name!r}: do not use it")
        if not path.is_file():
            raise ExportError(f"{path} is missing: copy the whole folder, or export again")
        if _hash_file(path) != expected:
            raise ExportError(f"{path} is not what was exported (its hash differs): copy it again, or export again")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
