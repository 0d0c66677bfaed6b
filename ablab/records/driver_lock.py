"""Leases of the drivers in a home, so that no study is removed while one is running it."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ablab.files import locked
from ablab.records.home import Home
from ablab.records.lease import Lease, held_leases


@contextmanager
def hold_driver_lease(home: Home, study: str) -> Iterator[None]:
    """Hold a driver's lease on `study` for the block, beside other drivers that may do the same.

    Creates the home if it is new. Waits while something is being removed. Raises UserError if the
    home may only be read.
    """
    home.create()
    folder = _folder(home)
    _clear(folder)
    lease = Lease(folder / f"{uuid.uuid4().hex}.json", study=study)
    lease.acquire()
    with lease.keep_alive():
        yield
    _clear(folder)  # those whose heartbeat had to be watched first


@contextmanager
def no_driver_begins(home: Home) -> Iterator[None]:
    """Keep drivers from starting while the block runs."""
    with locked(_folder(home) / Lease.LOCK):
        yield


def drivers(home: Home, studies: Iterable[str], *, certain: bool = False) -> list[Lease]:
    """Return the leases of the drivers that run one of `studies`.

    `certain` is that of `held_leases`.
    """
    names = set(studies)
    leases = [Lease(file) for file in (home.root / "drivers").glob("*.json")]
    leases = [lease for lease in leases if lease.owner.get("study") in names]
    return held_leases(leases, certain=certain)


def _clear(folder: Path) -> None:
    """Remove the leases of drivers that are known to be gone."""
    for file in folder.glob("*.json"):
        Lease(file).clear()


def _folder(home: Home) -> Path:
    folder = home.root / "drivers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
