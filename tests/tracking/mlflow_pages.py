"""What people do on MLflow's pages: find a run in the table, and compare several."""

from collections.abc import Iterable
from typing import Any


def row(page: Any, name: str) -> Any:
    """A row of the runs table, in the part of it that stands still."""
    return page.locator(".ag-pinned-left-cols-container .ag-row").filter(
        has=page.get_by_text(name, exact=True)
    )


def compare_runs(page: Any, names: Iterable[str]) -> None:
    """Select rows of the runs table, and open the page that compares them."""
    chosen = list(names)
    for name in chosen:
        row(page, name).locator(".ag-checkbox-input").first.click(force=True)
    page.get_by_role("button", name="Compare").or_(
        page.get_by_role("link", name="Compare")
    ).first.click()
    page.get_by_text(f"Comparing {len(chosen)} Runs").wait_for()
