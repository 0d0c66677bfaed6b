"""When to contact a store again that did not answer."""

import time

_FIRST_WAIT = 2.0  # seconds
_LONGEST_WAIT = 60.0


class Backoff:
    """Waits that double after each failure in a row, from 2 to 60 seconds."""

    def __init__(self) -> None:
        self._wait = 0.0
        self._retry_at = 0.0  # monotonic seconds

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._wait > 0.0

    @property
    def is_due(self) -> bool:
        """Whether the wait after the last failure is over."""
        return time.monotonic() >= self._retry_at

    def failed(self) -> None:
        """Start the next wait."""
        self._wait = min(max(2 * self._wait, _FIRST_WAIT), _LONGEST_WAIT)
        self._retry_at = time.monotonic() + self._wait

    def succeeded(self) -> None:
        """Begin the next series of waits with the shortest."""
        self._wait = 0.0

    def retry_now(self) -> None:
        """End the current wait."""
        self._retry_at = 0.0
