"""Whether a server answers at all."""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen


def answers(address: str, seconds: float) -> bool:
    """Return whether a server at an address without a password answers within so many seconds."""
    try:
        urlopen(address, timeout=seconds).close()
    except HTTPError:  # a server that asks for a password answers, too
        return True
    except (OSError, HTTPException):
        return False
    return True
