"""Addresses of trackers: which there are, and what may be shown of them: they may hold a password,
which nobody is to see.
"""

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
# By hand: urlsplit can't read passwords that SQLAlchemy takes as they are.
_PASSWORD = re.compile(r"^(?:[^:]*://)?[^:]*:(.*)@", re.DOTALL)
_SETTING = re.compile(r"[?&;]([^?&;=]*)=([^&;]*)")


def is_server(uri: str) -> bool:
    """Whether `uri` is a tracking server's address."""
    return uri.startswith(_SERVERS)


def is_database(uri: str) -> bool:
    """Whether `uri` is a database's address."""
    return re.match("|".join(_DATABASES), uri) is not None


def require_tracker(uri: str) -> None:
    """Raises UserError where `uri` is no address of a tracking server or a database."""
    if not (is_server(uri) or is_database(uri)):
        raise UserError(
            f"{redacted(uri, uri)!r} is no tracking server or database: give "
            "http://HOST:PORT or sqlite:///FILE"
        )
    _require_encoded(uri)


def require_database(uri: str) -> None:
    """Raises UserError where `uri` is no address of a database."""
    if not is_database(uri):
        raise UserError(
            f"{redacted(uri, uri)!r} is no database: give postgresql+psycopg://USER@HOST/NAME"
        )
    _require_encoded(uri)


def _require_encoded(uri: str) -> None:
    """Raises UserError for a user or a password of which a tracker would take a part for the host,
    and say so.
    """
    before, _, _ = uri.partition("://")[2].rpartition("@")
    kept = "/?#" if is_server(uri) else ""
    if not uri.startswith("sqlite:") and re.search(rf"[@\[\]\s{kept}]", before):
        raise UserError(
            f"{redacted(uri, uri)}: percent-encode what is no letter or digit in the user "
            "and the password"
        )


def redacted(text: str, address: str) -> str:
    """`text` without the password that `address` holds."""
    settings = [
        found.span(2) for found in _SETTING.finditer(address) if _SECRET.search(unquote(found[1]))
    ]
    spans = [*settings, *(found.span(1) for found in _PASSWORD.finditer(address))]
    hidden = {at for span in spans for at in range(*span)}
    shown = "".join("\0" if at in hidden else sign for at, sign in enumerate(address))
    text = text.replace(address, re.sub("\0+", "***", shown))
    whole = [address[slice(*span)] for span in spans]
    secrets = [*whole, *(secret.partition("#")[0] for secret in whole)]
    written = {
        form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret))
    } - {""}
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
