"""A text stream with a limit, for what plugins print."""

import io
from typing import IO


class BoundedOutput(io.TextIOBase):
    """Writes to `target` until `limit` characters have been written, and drops what follows."""

    def __init__(self, target: IO[str], limit: int) -> None:
        self.target = target
        self._left = limit

    def write(self, text: str) -> int:
        """Write the text, or the part of it that the limit allows."""
        if self._left > 0:
            self.target.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self.target.write("\n[further output of plugins is dropped]\n")
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def flush(self) -> None:
        """Flush the target."""
        self.target.flush()

    def fileno(self) -> int:
        """Return the file descriptor of the target."""
        return self.target.fileno()
