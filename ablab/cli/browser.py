"""Open pages in the user's browser.

`python -m ablab.cli.browser URL` waits for a server to answer, and then opens the page. It prints
nothing if there is no browser.
"""

import os
import sys
import time
import webbrowser
from pathlib import Path

from ablab.tracking.http import answers

_TIMEOUT_SECONDS = 60.0
_ANSWER_SECONDS = 5.0


def open_page(page: Path) -> bool:
    """Open a file, and return whether a graphical browser was found.

    A browser that runs in the terminal is not used, since it would take over the terminal.
    """
    desktop = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not desktop and not os.environ.get("BROWSER"):
        return False
    try:
        return webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False


def main() -> None:
    """Open a page once its server answers; end early if the parent process ends."""
    page = sys.argv[1]
    parent = os.getppid()
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline and os.getppid() == parent:
        if answers(page.split("#")[0], _ANSWER_SECONDS):
            webbrowser.open(page)
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main()
