"""JSON files that carry a digest of their content, so that damage is noticed when they are read.

The last key of a sealed file is `"seal": {"format": 1, "sha256": "…"}`. The digest (SHA-256) is
that of the file without this key. Homes of the first versions of ablab have files without seals. A
home in which every file has one says so in its `home.json`; there, a file without one is damaged.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.files import file_sha256, write_atomically

HOME_FILE = "home.json"
"""Name of the file in the root of a home whose files are all sealed."""
_FORMAT = 1
# Files whose digest was found right: inode, size and modification time then, and the digest.
_verified: dict[Path, tuple[int, int, int, str]] = {}
_MARK = b' "seal": {"format": '


class DamagedFile(UserError):
    """A file of a home is not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{self.fault}: `ablab fsck` says what can be done")

    @property
    def fault(self) -> str:
        """What is wrong, without the remedy."""
        return f"{self.path} is damaged ({self.reason})"


def write_sealed(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    """Write a mapping with its seal, completely or not at all.

    See `write_atomically` for `sync`.
    """
    body = _body(json.dumps(value, indent=1).encode())
    digest = hashlib.sha256(body).hexdigest()
    end = _MARK + f'{_FORMAT}, "sha256": "{digest}"'.encode() + b"}\n}"
    write_atomically(path, lambda file: file.write(body + end), sync=sync)


def read_sealed(path: Path, root: Path) -> dict[str, Any] | None:
    """Return the content of a sealed file of the home `root`; None if there is no such file.

    Raises:
        DamagedFile: if the content is not what was written, or if it has no seal although all files
            of the home have one.
        UserError: if a later version of ablab wrote it.

    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    body, mark, end = text.rpartition(_MARK)
    if not mark:
        if is_sealed(root):
            raise DamagedFile(path, "it has no seal")
        return _mapping(path, text)
    version, _, rest = end.partition(b",")
    if rest != f' "sha256": "{hashlib.sha256(body).hexdigest()}"}}\n}}'.encode():
        raise DamagedFile(path, "its digest does not match")
    if version != str(_FORMAT).encode():
        raise UserError(f"{path} was written by a later version of ablab")
    return _mapping(path, body.rstrip(b",\n") + b"\n}")


def require_digest(path: Path, sha256: str) -> None:
    """Raise DamagedFile if a file is missing, or its SHA-256 digest is another.

    Each process reads a file once, unless its inode, size or modification time changes.
    """
    try:
        stat = path.stat()
        signature = (stat.st_ino, stat.st_size, stat.st_mtime_ns, sha256)
        if _verified.get(path) == signature:
            return
        digest = file_sha256(path)
    except FileNotFoundError:
        raise DamagedFile(path, "it is missing") from None
    if digest != sha256:
        raise DamagedFile(path, "its digest does not match")
    _verified[path] = signature


def is_sealed(root: Path) -> bool:
    """Return whether all files of the home `root` are sealed."""
    return (root / HOME_FILE).exists()


def _body(text: bytes) -> bytes:
    """Return a JSON object up to where another key can follow."""
    content = text.removesuffix(b"}").rstrip(b"\n")
    return content + (b"\n" if content == b"{" else b",\n")


def _mapping(path: Path, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:  # neither JSON nor UTF-8
        raise DamagedFile(path, "it is not JSON") from None
    if not isinstance(content, dict):
        raise DamagedFile(path, "it is not a JSON object")
    return content
