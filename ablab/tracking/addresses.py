"""Addresses of trackers: they may hold a password, which nobody is to see."""

from urllib.parse import parse_qs, unquote, urlsplit


def redacted(text: str, address: str) -> str:
    """`text` without the password that `address` holds."""
    if "://" not in address:
        return text
    parts = urlsplit(address)
    found = {parts.password or "", unquote(parts.password or ""), *parse_qs(parts.query).get("password", [])} - {""}
    for password in found:
        text = text.replace(password, "***")
    return text


def fault(error: Exception, address: str) -> str:
    """What went wrong with the tracker at `address`, in a line."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {redacted(first, address)[:200]}"
