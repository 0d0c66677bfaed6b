"""Opens a page in the user's browser when its server answers: `python -m ablab.cli.browse URL`.
Silent where there is none.
"""

import os
import sys
import time
import webbrowser
from urllib.error import HTTPError
from urllib.request import urlopen

_PATIENCE_SECONDS = 60.0


def main() -> None:
    """Ends when whoever started it is gone."""
    page, parent, end = sys.argv[1], os.getppid(), time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and os.getppid() == parent:
        if _answers(page.split("#")[0]):
            webbrowser.open(page)
            return
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        urlopen(address, timeout=5).close()
    except HTTPError:  # one that asks for a password is there
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
