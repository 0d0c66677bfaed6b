"""Checks the records of runs."""

from collections.abc import Iterator
from pathlib import Path

from ablab.fsck.finding import Finding, damaged, set_aside_all
from ablab.fsck.logs import damaged_lines
from ablab.records.run_record import Record, run_keys
from ablab.records.run_result_file import RESULT_FILE
from ablab.sealed import DamagedFile, read_sealed
from ablab.train.file_names import CHECKPOINTS, WEIGHTS

# What each file that is sealed alone stands for, once it is gone.
_CONSEQUENCES = {
    "spec.json": "`ablab run` of its study writes it again",
    "failure.json": "`ablab run` tries the run again",
    "stop.json": "the run is no longer asked to stop",
    "progress.json": "nothing is lost",
    "micro_batch.json": "`ablab run` finds the size of micro-batches again",
}
_TRAINED_AGAIN = "`ablab run` of its study trains the run again"


def check_runs(root: Path) -> Iterator[Finding]:
    """Yield the faults of the runs in a home."""
    for key in run_keys(root):
        record = Record(root, key)
        yield from _check_result(record)
        yield from _check_small_files(record)
        yield from _check_checkpoints(record)
        yield from damaged_lines(record.folder / "attempts.jsonl")
        if not (record.finished or record.damage):  # else the result has the digest of the file
            yield from damaged_lines(record.folder / "metrics.jsonl")


def _check_result(record: Record) -> Iterator[Finding]:
    damage = record.damage
    if damage:
        yield Finding(
            record.folder / RESULT_FILE,
            f"cannot be relied on: {damage}",
            f"set the run's results aside; {_TRAINED_AGAIN}",
            record.set_aside_damage,
        )
    elif record.damage_of_weights:
        yield set_aside_all(
            [record.folder / RESULT_FILE, record.folder / WEIGHTS],
            f"cannot be relied on: {record.damage_of_weights}",
            _TRAINED_AGAIN,
        )


def _check_small_files(record: Record) -> Iterator[Finding]:
    for name, consequence in _CONSEQUENCES.items():
        try:
            read_sealed(record.folder / name, record.home)
        except DamagedFile as error:
            yield damaged(error.path, error.reason, consequence)


def _check_checkpoints(record: Record) -> Iterator[Finding]:
    from ablab.train.checkpoints import checkpoint_problem

    for name in CHECKPOINTS:
        path = record.folder / name
        problem = checkpoint_problem(path, record.metrics.has_rows) if path.exists() else ""
        if problem:
            yield set_aside_all([path], problem, "the run resumes from an earlier state")
