"""A headless Chromium that asks no host but this one. Without one, the tests that need it are
skipped.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LOCAL = ("127.0.0.1", "localhost")


def chromium() -> str | None:
    """The browser's program; None where there is none."""
    return next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )


@contextmanager
def browser() -> Iterator["Browser"]:
    """A browser for as long as the block lasts. Skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield Browser(started)
        finally:
            started.close()


class Browser:
    """Gives pages. `asked`: the addresses outside this machine that a page wanted, and did not get.
    `errors`: what scripts of a page raised.
    """

    def __init__(self, started) -> None:
        self._started = started
        self.asked: list[str] = []
        self.errors: list[str] = []

    def page(self, *, scripts: bool = True, width: int = 1400, height: int = 900):
        """A new page, in a context of its own; an offline one where nothing is served."""
        context = self._started.new_context(
            java_script_enabled=scripts, viewport={"width": width, "height": height}
        )
        context.route("**/*", self._route)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def visit(self, file: Path, **options):
        """A page that shows a file: what it `said` on the console and the `requests` it made are in
        its lists of these names.
        """
        page = self.page(**options)
        page.said, page.requests = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(file.as_uri())
        return page

    def _route(self, route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("http", "https") and address.hostname not in _LOCAL:
            self.asked.append(route.request.url)
            route.abort()
        else:
            route.continue_()
