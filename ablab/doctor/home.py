"""Examines the home: whether it can be written, the disk that it is on, and its files."""

import shutil
import tempfile
from collections.abc import Iterator

from ablab.doctor.finding import Finding, ok, problem, warning
from ablab.errors import UserError
from ablab.files import nearest_existing, require_writable
from ablab.fsck.check import check_home
from ablab.records.driver_lock import drivers
from ablab.records.home import Home
from ablab.records.study_record import study_names

_LEAST_BYTES = 1e8  # for a small study
_FEW_BYTES = 2e9  # for its checkpoints and the tokens of a corpus of some size
_SHOWN = 3


def examine_home(home: Home) -> Iterator[Finding]:
    """Yield findings on the home, or on the folder in which it would be made."""
    yield _writable(home)
    yield _disk(home)
    yield from _files(home)


def _writable(home: Home) -> Finding:
    folder = nearest_existing(home.root)
    try:
        require_writable([home.root, home.mlflow])
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
    except UserError as error:
        return problem("home", str(error))
    except OSError as error:
        return problem("home", f"{folder} cannot be written: {error.strerror}; give another --home")
    if home.root.is_dir():
        return ok("home", f"{home.root} can be written")
    return ok("home", f"none yet: `ablab run` makes it in {home.root}")


def _disk(home: Home) -> Finding:
    folder = nearest_existing(home.root)
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free on the disk of {folder}"
    if free < _LEAST_BYTES:
        return problem("disk", f"{text}: make room, or give another --home")
    if free < _FEW_BYTES:
        return warning("disk", f"{text}: little for checkpoints and tokens")
    return ok("disk", text)


def _files(home: Home) -> Iterator[Finding]:
    if not home.root.is_dir():
        return
    running = drivers(home, study_names(home))
    if running:
        study = running[0].owner["study"]
        yield ok("files", f"not checked while study {study} is being run by {running[0].holder}")
        return
    faults = list(check_home(home))
    if not faults:
        yield ok("files", "all files of the home are as they were written")
        return
    for fault in faults[:_SHOWN]:
        yield problem(
            "files", f"{fault.path} {fault.problem}; `ablab fsck --repair` would {fault.remedy}"
        )
    if len(faults) > _SHOWN:
        yield problem("files", f"{len(faults) - _SHOWN} more: `ablab fsck` lists them")
