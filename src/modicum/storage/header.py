"""The first bytes of a weights file: which network it holds and how it was built, read without torch."""

import hashlib
import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from modicum.storage.errors import WeightsError
from modicum.storage.files import JSON, dump_json, write_atomically
from modicum.storage.provenance import modicum_version
from modicum.storage.sealing import no_digest

FORMAT = "modicum"
FORMAT_VERSION = 1
WEIGHTS_NAME = "model.safetensors"
DIGEST_KEY = "digest"  # in the metadata

Noted = TypeVar("Noted")

_MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors itself; beyond it the "length" is the text of another format


@dataclass(frozen=True)
class Header:
    """What a weights file says about itself."""

    network: str  # the registered name
    config: dict[str, JSON]  # the builder's arguments
    version: str  # of the modicum that wrote the file
    notes: dict[str, JSON]  # what the writer wanted to be remembered


@dataclass(frozen=True)
class TensorEntry:
    """A tensor as the file declares it."""

    dtype: str  # in the words of safetensors: "F32", "BF16", "I64", "BOOL"
    shape: tuple[int, ...]
    place: tuple[int, int] = (0, 0)  # first byte and the one behind the last, counted from the end of the header


@dataclass(frozen=True)
class RawHeader:
    """The header as safetensors defines it: free text metadata, and the tensors by name."""

    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]
    size: int = 0  # bytes of the file before the first tensor


def locate_weights(path: str | Path) -> Path:
    """Returns the weights file that ``path`` means: itself, or ``model.safetensors`` in a run folder.

    Raises:
        WeightsError: If there is no such file.
    """
    path = Path(path)
    file = path / WEIGHTS_NAME if path.is_dir() else path
    if file.is_file():
        return file
    if path.is_dir():
        raise WeightsError(
            f"{path} holds no {WEIGHTS_NAME}: its training has not finished; resume it, or name another run"
        )
    raise WeightsError(f"{path} does not exist: give a .safetensors file or a run folder that holds {WEIGHTS_NAME}")


def read_header(path: str | Path) -> Header:
    """Reads the header of a weights file; loads no tensor.

    Args:
        path: A ``.safetensors`` file that modicum wrote, or a run folder.

    Raises:
        WeightsError: If the file is missing, damaged, not of modicum, or of a newer format.
    """
    file = locate_weights(path)
    return interpret_metadata(read_raw_header(file).metadata, file)


def read_note(path: str | Path, name: str, build: Callable[..., Noted]) -> Noted | None:
    """Builds a value from what weights note under a name; None if an older version did not note it.

    Args:
        path: The weights file.
        name: Of the note, an object whose entries are the arguments of ``build``.
        build: Raises `TypeError` or `ValueError` for values that cannot be used.

    Raises:
        WeightsError: If the file cannot be read, or the note cannot be used.
    """
    noted = read_header(path).notes.get(name)
    if not isinstance(noted, dict):
        return None
    try:
        return build(**noted)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path} notes a {name} that cannot be used ({error}): train again") from error


def read_raw_header(file: Path) -> RawHeader:
    """Reads the header of any safetensors file and checks it against the file's length.

    Raises:
        WeightsError: If the file is truncated or not of this format.
    """
    with file.open("rb") as stream:
        content = _read_header_json(stream, file)
        size = stream.tell()
        data_bytes = file.stat().st_size - size
    metadata = content.pop("__metadata__", {})
    try:
        tensors = {name: _entry(raw) for name, raw in content.items()}
    except (TypeError, KeyError, ValueError) as error:
        raise _not_safetensors(file) from error
    needed = max((entry.place[1] for entry in tensors.values()), default=0)
    if data_bytes < needed:
        raise _truncated(file)
    return RawHeader(metadata, tensors, size)


def verify_digest(file: Path, raw: RawHeader) -> None:
    """Compares names, types, shapes and bytes of the tensors, and the metadata, with the digest in the metadata.

    Raises:
        WeightsError: If they differ, or the file has no digest.
    """
    if DIGEST_KEY not in raw.metadata:
        raise WeightsError(f"{file} {no_digest(file)}")
    with (
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
        content[raw.size :] as data,
    ):
        found = _digest(raw.metadata, raw.tensors, data)
    if found != raw.metadata[DIGEST_KEY]:
        raise WeightsError(f"{file} is not as it was written (its digest differs): copy it again, or train again")


def write_weights(path: str | Path, metadata: Mapping[str, str], plain: bytes | memoryview) -> None:
    """Writes a safetensors file with metadata and a digest, atomically; equal content gives equal bytes.

    Args:
        path: The file to write.
        metadata: What else to say; a digest in it is replaced.
        plain: The bytes of a safetensors file; its metadata are left out.
    """
    view = memoryview(plain)
    size = 8 + int.from_bytes(view[:8], "little")
    content: dict[str, Any] = json.loads(bytes(view[8:size]))
    content.pop("__metadata__", None)
    data = view[size:]
    told = {key: value for key, value in metadata.items() if key != DIGEST_KEY}
    told[DIGEST_KEY] = _digest(told, {name: _entry(raw) for name, raw in content.items()}, data)
    text = json.dumps({"__metadata__": dict(sorted(told.items())), **content}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned, as safetensors wants them
    write_atomically(path, [len(text).to_bytes(8, "little"), text, data])


def update_notes(path: Path, notes: Mapping[str, JSON]) -> None:
    """Adds notes to a weights file, or replaces them, and renews its digest.

    Raises:
        WeightsError: If the file is missing, damaged, not of modicum, or of a newer format.
    """
    raw = read_raw_header(path)
    header = interpret_metadata(raw.metadata, path)
    metadata = {**raw.metadata, "notes": dump_json({**header.notes, **notes})}
    write_weights(path, metadata, path.read_bytes())


def _entry(raw: Mapping[str, Any]) -> TensorEntry:
    """Parses an entry of the header; raises ValueError, KeyError or TypeError if it is malformed."""
    begin, end = raw["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *raw["shape"])) or begin > end:
        raise ValueError("sizes and places of tensors are whole numbers")
    return TensorEntry(str(raw["dtype"]), tuple(raw["shape"]), (begin, end))


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, TensorEntry], data: memoryview) -> str:
    told = sorted((key, value) for key, value in metadata.items() if key != DIGEST_KEY)
    described = [(name, entry.dtype, entry.shape) for name, entry in sorted(tensors.items())]
    digest = hashlib.sha256(json.dumps([told, described]).encode())
    for _, entry in sorted(tensors.items()):
        with data[entry.place[0] : entry.place[1]] as content:
            digest.update(content)
    return digest.hexdigest()


def interpret_metadata(metadata: dict[str, str], file: Path) -> Header:
    """Returns modicum's part of the metadata of a safetensors file.

    Raises:
        WeightsError: If another program wrote the file, or a newer modicum, or its metadata is damaged.
    """
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{file} is a safetensors file that modicum did not write: it has weights but not the network's name and "
            "config; build the network yourself and load them with safetensors.torch.load_model"
        )
    try:
        _refuse_newer(int(metadata["format_version"]), metadata, file)
        config, notes = json.loads(metadata["config"]), json.loads(metadata.get("notes", "{}"))
        header = Header(metadata["network"], config, metadata["modicum_version"], notes)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{file} has damaged metadata ({error!r}): write it again with save_network") from error
    if not (isinstance(config, dict) and isinstance(notes, dict)):
        raise WeightsError(
            f"{file} has damaged metadata (config or notes is no object): write it again with save_network"
        )
    return header


def _refuse_newer(found: int, metadata: dict[str, str], file: Path) -> None:
    if found > FORMAT_VERSION:
        raise WeightsError(
            f"{file} has format version {found}, written by modicum {metadata.get('modicum_version', 'unknown')}; "
            f"this modicum ({modicum_version()}) reads up to {FORMAT_VERSION}: update your clone of modicum"
        )


def _read_header_json(stream: BinaryIO, file: Path) -> dict[str, Any]:
    """Reads the JSON object at the start of every safetensors file, behind its 8-byte little-endian length."""
    prefix = stream.read(8)
    if len(prefix) < 8:
        raise _truncated(file)
    length = int.from_bytes(prefix, "little")
    if length > _MAX_HEADER_BYTES:
        raise _not_safetensors(file)
    text = stream.read(length)
    if len(text) < length and text[:1] in (b"", b"{"):
        raise _truncated(file)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_safetensors(file) from error
    if not isinstance(content, dict) or not isinstance(content.get("__metadata__", {}), dict):
        raise _not_safetensors(file)
    return content


def _truncated(file: Path) -> WeightsError:
    return WeightsError(f"{file} is truncated ({file.stat().st_size} bytes): copy or download it again")


def _not_safetensors(file: Path) -> WeightsError:
    return WeightsError(f"{file} is not a safetensors file: give what save_network or a finished training wrote")
