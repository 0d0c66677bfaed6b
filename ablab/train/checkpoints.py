"""The checkpoints of an unfinished run: files that `torch.load` reads, each with a seal at its end.

The latest two are kept. A checkpoint that is damaged, or that a power failure left without the
measurements before it, costs only the steps since the one before.

The seal is a line of JSON after the content: its length and digest (SHA-256), the step, and how
many measurements were recorded up to that step.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch

from ablab.fence import permission
from ablab.files import set_aside, sync_folder, write_atomically
from ablab.train.file_names import CHECKPOINTS, PREVIOUS_CHECKPOINT

_FORMAT = 1
_LONGEST_SEAL = 1024  # bytes


@dataclass(frozen=True)
class CheckpointSeal:
    """What the end of a checkpoint says of it."""

    step: int
    """Optimizer steps taken."""
    rows: int
    """Measurements recorded up to that step."""
    length: int
    """Size of the content in bytes."""
    sha256: str
    """Digest of the content."""
    format: int = _FORMAT
    """Version of this form."""


def save_checkpoint(checkpoint: dict[str, Any], path: Path, rows: int) -> None:
    """Write a checkpoint to `path`, and keep the one that is there as the previous one.

    Raises OSError, after which both are as they were, or one of them is.
    """

    def write(file: IO[bytes]) -> None:
        content = _HashingWriter(file)
        torch.save(checkpoint, cast(IO[bytes], content))
        seal = CheckpointSeal(
            checkpoint["global_step"], rows, content.length, content.sha256.hexdigest()
        )
        file.write(b"\n" + json.dumps(asdict(seal)).encode())

    draft = path.with_name(f"{path.name}.draft")
    try:
        write_atomically(draft, write)
        with permission(path):
            if path.exists():
                os.replace(path, path.with_name(PREVIOUS_CHECKPOINT))
            os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, which holds only tensors and plain values."""
    return torch.load(path, map_location="cpu", weights_only=True)


def newest_checkpoint(
    folder: Path, has_rows: Callable[[int, int], bool], note: Callable[[str], None]
) -> Path | None:
    """Return the latest checkpoint in `folder` that can be resumed from; None if there is none.

    Those that cannot are set aside, and `note` is told why. `has_rows(step, rows)` returns whether
    so many measurements are recorded up to a step.
    """
    for name in CHECKPOINTS:
        path = folder / name
        if not path.exists():
            continue
        problem = checkpoint_problem(path, has_rows)
        if not problem:
            return path
        set_aside([path])
        note(f"{name} {problem}: it is set aside, and the run resumes from an earlier state")
    return None


def checkpoint_problem(path: Path, has_rows: Callable[[int, int], bool]) -> str:
    """Return why a run cannot be resumed from a checkpoint; empty if it can. Raises OSError."""
    seal = _read_seal(path)
    if seal is None:
        return "is damaged (it has no seal)"
    with path.open("rb") as file:
        digest = hashlib.sha256()
        left = seal.length
        while left and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    if left or digest.hexdigest() != seal.sha256:
        return "is damaged (its digest does not match)"
    if not has_rows(seal.step, seal.rows):
        return f"is ahead of the measurements, which are not complete up to step {seal.step}"
    return ""


def _read_seal(path: Path) -> CheckpointSeal | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_SEAL))
        line = file.read().rpartition(b"\n")[2]
    try:
        return CheckpointSeal(**json.loads(line))
    except (ValueError, TypeError):  # not JSON, or of another form
        return None


class _HashingWriter:
    """Passes what is written on to a file, and hashes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.length = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.length += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
