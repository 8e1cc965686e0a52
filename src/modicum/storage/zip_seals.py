"""Zip files, such as checkpoints, whose comment is a digest of all before it: both are there, or neither."""

import hashlib
import os
from pathlib import Path

from modicum.storage.errors import RunError
from modicum.storage.sealing import no_digest

_MARK = b"modicum sha256 "
_END = b"PK\x05\x06"  # begins the last record of a zip file, whose last two bytes count those of the comment
_END_BYTES, _COMMENT_BYTES = 22, len(_MARK) + 64
_BLOCK_BYTES = 1 << 20


def seal_zip(file: Path) -> None:
    """Adds the digest to a zip file without a comment, and waits until it is on disk; others stay as they are."""
    with file.open("r+b") as stream:
        stream.seek(-min(_END_BYTES, file.stat().st_size), os.SEEK_END)
        end = stream.read()
        if not (end.startswith(_END) and end.endswith(b"\0\0")):
            return
        stream.seek(-2, os.SEEK_END)
        stream.write(_COMMENT_BYTES.to_bytes(2, "little"))
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.write(_MARK + digest.encode())
        stream.flush()
        os.fsync(stream.fileno())


def verify_zip(file: Path) -> None:
    """Compares a zip file with the digest in its comment.

    Raises:
        RunError: If they differ, or the digest is missing.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(0, size - _COMMENT_BYTES))
        comment = stream.read()
        if not comment.startswith(_MARK):
            if comment[-_END_BYTES:].startswith(_END):  # a whole zip file, as older versions wrote
                raise RunError(f"{file} {no_digest(file)}")
            raise RunError(f"{file} is damaged (it does not end with its digest): {checkpoint_remedy(file)}")
        stream.seek(0)
        digest, rest = hashlib.sha256(), size - _COMMENT_BYTES
        while rest and (block := stream.read(min(rest, _BLOCK_BYTES))):
            digest.update(block)
            rest -= len(block)
    if comment != _MARK + digest.hexdigest().encode():
        raise RunError(f"{file} is not as it was written (its digest differs): {checkpoint_remedy(file)}")


def checkpoint_remedy(file: Path) -> str:
    """Returns the advice on a checkpoint that cannot be used."""
    return f"put a copy back, or remove the folder {file.parent} to train this stage again with --resume"
