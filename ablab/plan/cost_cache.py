"""The costs of architectures that a home has counted before, in `accounts.json`.

`ablab run` writes the file; every plan reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.expression import Use
from ablab.arch.counting import account as accounting
from ablab.arch.counting.account import Account, account
from ablab.arch.value import Architecture
from ablab.sealed import DamagedFile, read_sealed, write_sealed
from ablab.version import __version__

COST_CACHE = "accounts.json"
"""Name of the file in the root of a home."""
_ACCOUNT = TypeAdapter(Account)


class CostCache:
    """The accounts that the home in the folder `root` has on file.

    Without a home, every architecture is counted.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._file = root / COST_CACHE if root else None
        self._accounts = self._read()
        self._unsaved: dict[str, dict[str, Any]] = {}

    def of(self, arch: Architecture, uses: Mapping[str, Use]) -> Account:
        """Return the account of `arch`, which is composed of the plugins `uses`.

        Raises UserError if the model cannot be built or run.
        """
        # Code that is in no file may change at any time.
        is_cacheable = all(use.plugin.digest for use in uses.values())
        if self._file is None or not is_cacheable:
            return account(arch)
        key = _key(arch, uses)
        try:
            return _ACCOUNT.validate_python(self._accounts[key])
        except (KeyError, ValidationError):
            result = account(arch)
        content = result.as_dict()
        self._accounts[key] = content
        self._unsaved[key] = content
        return result

    def write(self) -> None:
        """Write new accounts to the home, which is created if necessary."""
        if self._file is None or not self._unsaved:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Read again, since another driver may have written in the meantime. The file is not
        # synced to disk: what is lost is counted again.
        accounts = {**self._read(), **self._unsaved}
        write_sealed(self._file, {"core": _core(), "accounts": accounts}, sync=False)
        self._unsaved = {}

    def _read(self) -> dict[str, Any]:
        """Return the accounts on file; none if they were counted by other code."""
        try:
            content = read_sealed(self._file, self._file.parent) if self._file else None
        except DamagedFile:  # all is counted again
            return {}
        if content is None or content.get("core") != _core():
            return {}
        accounts = content.get("accounts")
        return accounts if isinstance(accounts, dict) else {}


def _key(arch: Architecture, uses: Mapping[str, Use]) -> str:
    parts = {
        "arch": canonical(arch),
        "plugins": {name: use.plugin.digest for name, use in uses.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _core() -> str:
    """Return a digest of all code that counts, except plugins. When it changes, every architecture
    is counted again.
    """
    sources = sorted(Path(accounting.__file__).parent.glob("*.py"))
    versions = f"{__version__} {torch.__version__}".encode()
    return hashlib.sha256(
        b"".join([versions, *(source.read_bytes() for source in sources)])
    ).hexdigest()
