"""Adds digests to the files of a home that an earlier version of ablab wrote."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ablab.data.store import MANIFEST, TOKENIZER
from ablab.files import file_sha256
from ablab.fsck.finding import Finding
from ablab.json_lines import read_rows, write_rows
from ablab.plan.cost_cache import COST_CACHE
from ablab.records.home import EARLIER_IDENTITY, Home
from ablab.records.run_record import Record, run_keys
from ablab.records.run_result_file import RESULT_FILE, digests_of
from ablab.sealed import HOME_FILE, DamagedFile, read_sealed, write_sealed
from ablab.train.file_names import LATEST_CHECKPOINT


def check_home_file(home: Home) -> Iterator[Finding]:
    """Yield the fault of the home's own file, if it has one."""
    file = home.root / HOME_FILE
    try:
        read_sealed(file, home.root)
    except DamagedFile as error:
        yield Finding(
            file,
            f"is damaged ({error.reason})",
            "write it again; servers that track this home show its studies twice",
            lambda: home.write_identity(uuid.uuid4().hex),
        )
    if home.is_unverified:
        yield Finding(
            home.root,
            "was written by an earlier version of ablab: damage to its files would not be noticed",
            "add digests to its files as they are now",
            lambda: _add_digests(home),
        )


def _add_digests(home: Home) -> None:
    root = home.root
    for file in [*root.glob("studies/*/*.json"), root / COST_CACHE]:
        _seal(file, root)
    for file in [*root.glob("studies/*/*.executions"), *root.glob("studies/*/*.timings")]:
        write_rows(file, read_rows(file))
    for manifest in root.glob(f"tokens/*/{MANIFEST}"):
        digest = file_sha256(manifest.with_name(TOKENIZER))
        _seal(manifest, root, tokenizer_sha256=digest)
    for key in run_keys(root):
        _add_digests_to_run(Record(root, key))
    identity = uuid.uuid4().hex
    with suppress(FileNotFoundError):
        identity = (root / EARLIER_IDENTITY).read_text().strip()
    home.write_identity(identity)
    (root / EARLIER_IDENTITY).unlink(missing_ok=True)


def _add_digests_to_run(record: Record) -> None:
    from ablab.train.checkpoints import load_checkpoint, save_checkpoint

    folder = record.folder
    for name in ("metrics.jsonl", "attempts.jsonl"):
        if (folder / name).exists():
            write_rows(folder / name, read_rows(folder / name))
    for file in folder.glob("*.json"):
        if file.name != RESULT_FILE:
            _seal(file, record.home)
    _seal(folder / RESULT_FILE, record.home, files=digests_of(folder))
    checkpoint = folder / LATEST_CHECKPOINT
    if checkpoint.exists():
        content = load_checkpoint(checkpoint)
        checkpoint.unlink()
        save_checkpoint(content, checkpoint, record.metrics.count(content["global_step"]))


def _seal(file: Path, root: Path, **more: object) -> None:
    """Add a seal, and the keys `more`, to a file that has none."""
    content = read_sealed(file, root)
    if content is not None:
        write_sealed(file, {**content, **more})
