"""Run records: one folder per run, in the home. They are the truth; what MLflow and Optuna show can
be rebuilt from them.

spec.json         specification of the run
lease.json        the process that trains it; its modification time is the heartbeat
metrics.jsonl     measurements, by step
progress.json     progress of the present attempt
checkpoint.ckpt   where an unfinished run resumes; checkpoint.previous.ckpt is the one before
result.json       result of a finished run, with the digests of its other files
val_windows.npz   final validation scores by window of a finished run
model.safetensors weights of a finished run
failure.json      why the run was given up; removed when the run is requested again
output.log        what its plugins printed, up to a limit
attempts.jsonl    every attempt that failed: reason, time, host, pid; never removed
micro_batch.json  number of sequences that fit at once, if not all did
stop.json         a request to stop, with its reason; `cancelled` until the run is requested again,
                  `pruned` (a tuning or a search has seen enough) for good
damaged/          files that were found damaged and set aside

A run counts as finished if its result and the files that reports read are as they were written. If
one of them is damaged, the run is trained again.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.fence import permission
from ablab.files import set_aside
from ablab.names import component
from ablab.records.lease import Lease
from ablab.records.run_files import AttemptLog, MetricsLog, StopRequest, read_unsynced
from ablab.records.run_result_file import RESULT_FILE, ResultFile
from ablab.records.run_spec import RunSpec
from ablab.sealed import DamagedFile, read_sealed, write_sealed
from ablab.train.file_names import CHECKPOINTS, WEIGHTS, WINDOW_SCORES
from ablab.train.result import RunResult
from ablab.train.window_scores import WindowScores

_REMOVED_AT_END = ("failure.json", "stop.json", "progress.json", *CHECKPOINTS)


class Record:
    """The record of a run. `home` is the folder of records."""

    def __init__(self, home: Path, key: str) -> None:
        self.key = key
        self.home = home
        self.folder = home / "runs" / component(key)
        self.stop = StopRequest(self.folder / "stop.json", home)
        self.metrics = MetricsLog(self.folder / "metrics.jsonl")
        self.attempts = AttemptLog(self.folder / "attempts.jsonl")
        self.output = self.folder / "output.log"

    def lease(self, nonce: str | None = None) -> Lease:
        """Return the lease that a process holds while it trains the run.

        `nonce` identifies one that a process which shares the run has acquired.
        """
        return Lease(self.folder / "lease.json", nonce=nonce)

    def create(self, spec: RunSpec) -> None:
        """Write the specification, unless there is one.

        It is not synced to disk: what a power cut takes is written again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.spec is None:
            write_sealed(self.folder / "spec.json", asdict(spec), sync=False)

    @property
    def spec(self) -> RunSpec | None:
        """The specification; None if there is none, or one of another version."""
        content = read_unsynced(self.folder / "spec.json", self.home)
        try:
            return RunSpec.read(content) if content else None
        except ValueError:
            return None

    @property
    def finished(self) -> bool:
        """Whether there is a result, and it is undamaged."""
        return self._result_file.exists() and not self.damage

    @property
    def damage(self) -> str:
        """What is damaged of a finished run, in words; empty if nothing is, or it is unfinished."""
        return self._result_file.damage()

    @property
    def damage_of_weights(self) -> str:
        """What is damaged of the weights of a finished run, in words; empty if nothing is."""
        return self._result_file.damage_of_weights()

    @property
    def result(self) -> RunResult | None:
        """The result; None unless the run is finished.

        Raises:
            UserError: if another version of ablab wrote it.

        """
        try:
            return self._result_file.read()
        except DamagedFile:
            return None

    @property
    def _result_file(self) -> ResultFile:
        return ResultFile(self.folder / RESULT_FILE, self.home)

    @property
    def window_scores(self) -> WindowScores | None:
        """Final validation scores by window; None if the run has none, as runs of earlier versions
        of ablab.
        """
        return WindowScores.read(self.folder / WINDOW_SCORES)

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the run was given up; None unless it was."""
        path = self.folder / "failure.json"
        try:
            return read_sealed(path, self.home)
        except DamagedFile as error:
            return {"reason": str(error), "detail": "", "time": path.stat().st_mtime}

    def reset(self) -> None:
        """Withdraw a cancellation and clear a failure. A run that was pruned stays so."""
        self.stop.withdraw()
        (self.folder / "failure.json").unlink(missing_ok=True)

    @property
    def progress(self) -> dict[str, Any]:
        """Progress of the present attempt: `share` of the budget, and metrics by name."""
        return read_unsynced(self.folder / "progress.json", self.home)

    @property
    def micro_batch(self) -> int | None:
        """Maximum number of sequences that fit at once; None if all of a batch do."""
        return read_unsynced(self.folder / "micro_batch.json", self.home).get("sequences")

    def note_micro_batch(self, sequences: int) -> None:
        """Limit the number of sequences at once, from the next attempt on."""
        write_sealed(self.folder / "micro_batch.json", {"sequences": sequences}, sync=False)

    def finish(self, result: RunResult) -> None:
        """Write the result, which makes the run a finished one."""
        self.metrics.sync()
        self._result_file.write(result)
        with permission(self.folder / RESULT_FILE):
            for name in _REMOVED_AT_END:
                (self.folder / name).unlink(missing_ok=True)

    def set_aside_damage(self) -> str:
        """Move the files of a damaged run to the folder `damaged`, so that it can be trained again.

        Return what was done, in words; empty if the run was not damaged.
        """
        damage = self.damage
        if not damage:
            return ""
        files = [self.folder / name for name in ("metrics.jsonl", WINDOW_SCORES, WEIGHTS)]
        # The result last: until it is gone, this can be repeated.
        set_aside([*files, self.folder / RESULT_FILE])
        return f"{damage}: set aside, and trained again"

    def fail(self, reason: str, detail: str = "", pid: int | None = None) -> None:
        """Give the run up: nobody tries it again until it is reset."""
        self.attempts.add(reason, pid)
        failure = {"reason": reason, "detail": detail, "time": time.time()}
        write_sealed(self.folder / "failure.json", failure)


def finished_keys(home: Path, keys: Iterable[str]) -> set[str]:
    """Return the keys of the runs that are finished."""
    return {key for key in keys if Record(home, key).finished}


def settled_keys(home: Path, trials: Iterable[str]) -> set[str]:
    """Return the keys of the trials that are finished, pruned or failed: nothing changes them."""
    records = (Record(home, key) for key in trials)
    return {
        record.key
        for record in records
        if record.finished or record.stop.pruned or record.failure is not None
    }


def run_keys(home: Path) -> list[str]:
    """Return the keys of the runs that have a folder."""
    folder = home / "runs"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def find_record(home: Path, prefix: str, more: Iterable[str] = ()) -> Record:
    """Return the run whose key begins with `prefix`, among those with a folder and `more`.

    Raises:
        UserError: if there is none, or several.

    """
    keys = sorted({*run_keys(home), *more})
    matches = [key for key in keys if prefix and key.startswith(prefix)]
    if not matches:
        raise UserError(f"no run's key in {home} begins with {prefix!r} ({len(keys)} runs there)")
    if len(matches) > 1:
        examples = ", ".join(matches[:3]) + (", …" if len(matches) > 3 else "")
        raise UserError(
            f"{prefix!r} begins the keys of {len(matches)} runs ({examples}): give more of one"
        )
    return Record(home, matches[0])
