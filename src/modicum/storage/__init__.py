"""What outlives a process: files, run folders, their errors; without torch, hence without `modicum.storage.weights`."""

from modicum.storage.errors import (
    DataError,
    DivergedError,
    MissingExtraError,
    ModicumError,
    OutputError,
    RecipeError,
    RunError,
    WeightsError,
)
from modicum.storage.files import (
    JSON,
    append_jsonl,
    read_json,
    read_json_object,
    read_jsonl,
    write_atomically,
    write_json,
)
from modicum.storage.header import Header, read_header
from modicum.storage.provenance import versions
from modicum.storage.run_state import FinishedStage, RunState, Start
from modicum.storage.runs import RunFolder

__all__ = [
    "JSON",
    "DataError",
    "DivergedError",
    "FinishedStage",
    "Header",
    "MissingExtraError",
    "ModicumError",
    "OutputError",
    "RecipeError",
    "RunError",
    "RunFolder",
    "RunState",
    "Start",
    "WeightsError",
    "append_jsonl",
    "read_header",
    "read_json",
    "read_json_object",
    "read_jsonl",
    "versions",
    "write_atomically",
    "write_json",
]
