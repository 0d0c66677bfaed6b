"""Finds drafts that a killed process left in a home."""

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ablab.fsck.finding import Finding

# Drafts of files end in 32 random digits (`ablab.files.write_atomically`), or in earlier versions
# in the number of a process, and those of token stores in eight random characters (`mkdtemp`).
_DRAFT = re.compile(r"\..+\.(\d+|[0-9a-f]{32})|\.[0-9a-f]{32}-\w{8}|.+\.draft")
_FOLDERS = ("runs/*", "studies/*", "reports/*", "tokens", "drivers", "ideas")


def check_leftovers(root: Path) -> Iterator[Finding]:
    """Yield the drafts in a home, which no process may be writing at the same time."""
    for folder in (root, *(path for pattern in _FOLDERS for path in sorted(root.glob(pattern)))):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _DRAFT.fullmatch(path.name):
                remove = partial(_remove, path)
                yield Finding(path, "is a draft that was not completed", "remove it", remove)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
