"""Takes over a run that an older modicum made: adds the digests that it lacks. Importing this module is instant."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from modicum.datasets.contents import SAMPLES
from modicum.storage import JSON, RunFolder, read_json, read_json_object
from modicum.storage.header import DIGEST_KEY, read_raw_header, update_notes, verify_digest
from modicum.storage.runs import CALIBRATION_NOTE, RECIPE_NOTE, STATE_NAME, digest_recipe
from modicum.storage.sealing import DIGEST_KEY as JSON_DIGEST_KEY
from modicum.storage.sealing import write_sealed
from modicum.storage.zip_seals import seal_zip, verify_zip


def adopt_run(run: str | Path) -> Path:
    """Does `modicum.verbs.adopt`."""
    path = Path(run)
    if path.is_file():
        _adopt_weights(path, {})
        return path
    folder = RunFolder.open(path)
    with folder.locked():
        digest = digest_recipe(folder.recipe.read_bytes())
        for file in _files(folder, "*.json"):
            _adopt_json(file, digest)
        if folder.splits.is_file() and not folder.content.is_file():
            write_sealed(folder.content, {SAMPLES: None})
        for file in _files(folder, "*.safetensors"):
            _adopt_weights(file, _notes(folder, digest) if file == folder.weights else {})
        for file in _files(folder, "*.ckpt"):
            seal_zip(file)
            verify_zip(file)
    return folder.path


def _files(folder: RunFolder, pattern: str) -> Iterator[Path]:
    """Lists the files that belong to a run itself; an export in it has its own manifest."""
    places = (folder.path, folder.path / "words", *sorted(folder.path.glob("stages/*")))
    return (file for place in places for file in sorted(place.glob(pattern)))


def _adopt_json(file: Path, recipe_digest: str) -> None:
    content = read_json(file)
    if isinstance(content, list):
        content = {"points": content}
    if not isinstance(content, dict) or JSON_DIGEST_KEY in content:
        return  # what has one is verified whenever it is read
    if file.name == STATE_NAME:
        content = {**content, "recipe_digest": recipe_digest}
    table = content.get("table")
    if isinstance(table, dict) and (matrix := file.with_name("vectors.npy")).is_file():
        content = {**content, "table": {**table, "sha256": hashlib.sha256(matrix.read_bytes()).hexdigest()}}
    write_sealed(file, content)


def _adopt_weights(file: Path, notes: Mapping[str, JSON]) -> None:
    raw = read_raw_header(file)
    if DIGEST_KEY in raw.metadata:
        verify_digest(file, raw)
    else:
        update_notes(file, notes)


def _notes(folder: RunFolder, recipe_digest: str) -> dict[str, JSON]:
    """Returns the notes that a training writes with its weights today."""
    notes: dict[str, JSON] = {RECIPE_NOTE: recipe_digest}
    if folder.calibration.is_file():
        content = read_json_object(folder.calibration)
        notes[CALIBRATION_NOTE] = {key: value for key, value in content.items() if key != JSON_DIGEST_KEY}
    return notes
