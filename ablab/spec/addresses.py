"""Addresses of tracking servers and databases: validation, and redaction of their passwords."""

import re
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from ablab.errors import UserError

_DATABASES = ("sqlite:", "postgresql[:+]", "mysql[:+]", "mssql[:+]")
_SERVERS = ("http://", "https://")
# Names of settings whose values are secrets: password, sslpassword, passwd, pwd, token,
# access_token, client_secret, apikey.
_SECRET = re.compile(
    r"pass|pwd|token|secret|credential|api_?key|access_?key|signature", re.IGNORECASE
)
# Not urlsplit, which fails on passwords with special characters that SQLAlchemy accepts.
_PASSWORD = re.compile(r"^(?:[^:]*://)?[^:]*:(.*)@", re.DOTALL)
_SETTING = re.compile(r"[?&;]([^?&;=]*)=([^&;]*)")


def is_server(uri: str) -> bool:
    """Return whether `uri` is the address of a tracking server."""
    return uri.startswith(_SERVERS)


def is_database(uri: str) -> bool:
    """Return whether `uri` is the address of a database."""
    return re.match("|".join(_DATABASES), uri) is not None


def is_local(address: str) -> bool:
    """Return whether `address` is a path or an SQLite database, which are files of this machine."""
    return "://" not in address or address.startswith("sqlite:")


def require_tracker(uri: str) -> None:
    """Raise UserError unless `uri` is the address of a tracking server or a database."""
    if not (is_server(uri) or is_database(uri)):
        raise UserError(
            f"{redacted(uri, uri)!r} is not the address of a tracking server or database: give "
            "http://HOST:PORT or sqlite:///FILE"
        )
    _require_encoded(uri)


def require_database(uri: str) -> None:
    """Raise UserError unless `uri` is the address of a database."""
    if not is_database(uri):
        raise UserError(
            f"{redacted(uri, uri)!r} is not the address of a database: give "
            "postgresql+psycopg://USER@HOST/NAME"
        )
    _require_encoded(uri)


def _require_encoded(uri: str) -> None:
    """Raise UserError for special characters in the user name or the password.

    A tracker would parse part of them as the host, and print that part in its error message.
    """
    credentials, _, _ = uri.partition("://")[2].rpartition("@")
    delimiters = "/?#" if is_server(uri) else ""
    if not uri.startswith("sqlite:") and re.search(rf"[@\[\]\s{delimiters}]", credentials):
        raise UserError(
            f"{redacted(uri, uri)}: percent-encode the special characters in the user name and "
            "the password"
        )


def redacted(text: str, address: str) -> str:
    """Return `text` with the passwords of `address` replaced by `***`."""
    settings = [
        match.span(2) for match in _SETTING.finditer(address) if _SECRET.search(unquote(match[1]))
    ]
    spans = [*settings, *(match.span(1) for match in _PASSWORD.finditer(address))]
    hidden = {position for span in spans for position in range(*span)}
    masked = "".join("\0" if i in hidden else character for i, character in enumerate(address))
    text = text.replace(address, re.sub("\0+", "***", masked))
    # Error messages may quote a password decoded, or up to a `#`.
    values = [address[slice(*span)] for span in spans]
    values += [value.partition("#")[0] for value in values]
    secrets = {form for value in values for form in (value, unquote(value), unquote_plus(value))}
    secrets.discard("")
    # The longest first, since one may be the beginning of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def without_user(address: str) -> str:
    """Return a server's `address` without user name and password."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def fault(error: Exception, address: str) -> str:
    """Describe an error of the tracker at `address` in one line, without its password."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {redacted(first, address)[:200]}"
