"""Addresses of trackers: they may hold a password, which nobody is to see."""

import re
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

# Names of settings whose values are secrets: password, sslpassword, passwd, pwd, token, access_token, client_secret, apikey.
_SECRET = re.compile(r"pass|pwd|token|secret|credential|api_?key|access_?key|signature", re.IGNORECASE)


def redacted(text: str, address: str) -> str:
    """`text` without the password that `address` holds."""
    if "://" not in address:
        return text
    parts = urlsplit(address)
    settings = [pair.partition("=") for pair in re.split("[&;]", parts.query)]
    secrets = [parts.password or "", *(value for name, _, value in settings if _SECRET.search(unquote(name)))]
    written = {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret))} - {""}
    for secret in sorted(written, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(secret, "***")
    return text


def without_user(address: str) -> str:
    """A server's `address` without the user and the password before its host."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def fault(error: Exception, address: str) -> str:
    """What went wrong with the tracker at `address`, in a line."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {redacted(first, address)[:200]}"
