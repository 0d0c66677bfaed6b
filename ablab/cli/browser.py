"""Shows a page in the user's browser."""

import os
import sys
from pathlib import Path


def open_page(page: Path) -> bool:
    """Whether a browser was found. One that draws in the terminal does not count: it would take it
    over.
    """
    import webbrowser

    windows = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not windows and not os.environ.get("BROWSER"):
        return False
    try:
        return webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False
