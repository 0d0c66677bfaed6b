"""Who is at work on a home: every driver holds a lease, so that nothing is removed beneath one."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ablab.files import locked
from ablab.records.home import Home
from ablab.records.lease import Lease


@contextmanager
def driving(home: Home, study: str) -> Iterator[None]:
    """For as long as the block lasts this process drives `study`, beside others that may do the
    same. Waits while something is being removed.
    """
    folder = _folder(home)
    for left in folder.glob("*.json"):
        Lease(left).clear()
    lease = Lease(folder / f"{uuid.uuid4().hex}.json", study=study)
    lease.acquire()
    with lease.kept():
        yield


@contextmanager
def no_driver_begins(home: Home) -> Iterator[None]:
    """What is done in the block is done before any driver begins."""
    with locked(_folder(home) / Lease.LOCK):
        yield


def drivers(home: Home, studies: Iterable[str]) -> list[Lease]:
    """The leases of those that drive one of `studies` now."""
    wanted = set(studies)
    leases = (Lease(file) for file in (home.root / "drivers").glob("*.json"))
    return [lease for lease in leases if lease.held() and lease.owner.get("study") in wanted]


def _folder(home: Home) -> Path:
    folder = home.root / "drivers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
