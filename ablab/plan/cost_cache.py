"""What a home has counted: the accounts of architectures, in `accounts.json`. `ablab run` writes
it, plans read it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from ablab import __version__
from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.expression import Use
from ablab.arch.counting import account as accounting
from ablab.arch.counting.account import Account, account
from ablab.arch.value import Architecture
from ablab.files import read_json, write_json

_ACCOUNT = TypeAdapter(Account)


class Accounts:
    """The accounts that the home in the folder `root` knows; without a home, all are counted."""

    def __init__(self, root: Path | None = None) -> None:
        self._file = root / "accounts.json" if root else None
        self._known = self._read()
        self._counted: dict[str, dict[str, Any]] = {}

    def of(self, arch: Architecture, uses: Mapping[str, Use]) -> Account:
        """What `arch` costs, which the plugins `uses` wrote. Raises UserError for a model that
        cannot be built or run.
        """
        if self._file is None or not all(
            use.plugin.digest for use in uses.values()
        ):  # code that is in no file may change
            return account(arch)
        key = _key(arch, uses)
        try:
            return _ACCOUNT.validate_python(self._known[key])
        except (KeyError, ValidationError):
            counted = account(arch)
        self._known[key] = self._counted[key] = counted.as_dict()
        return counted

    def write(self) -> None:
        """Keeps what was counted; the home is made if need be."""
        if self._file is None or not self._counted:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Another driver may have written meanwhile. Unsynced, since what is lost is counted again.
        write_json(
            self._file, {"core": _core(), "accounts": {**self._read(), **self._counted}}, sync=False
        )
        self._counted = {}

    def _read(self) -> dict[str, Any]:
        try:
            content = read_json(self._file) if self._file else None
        except ValueError:  # no JSON, or no text
            return {}
        known = (
            content.get("accounts")
            if isinstance(content, dict) and content.get("core") == _core()
            else None
        )
        return known if isinstance(known, dict) else {}


def _key(arch: Architecture, uses: Mapping[str, Use]) -> str:
    parts = {
        "arch": canonical(arch),
        "plugins": {name: use.plugin.digest for name, use in uses.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _core() -> str:
    """A digest of what counts beside the plugins: when it changes, all is counted anew."""
    sources = sorted(Path(accounting.__file__).parent.glob("*.py"))
    versions = f"{__version__} {torch.__version__}".encode()
    return hashlib.sha256(
        b"".join([versions, *(source.read_bytes() for source in sources)])
    ).hexdigest()
