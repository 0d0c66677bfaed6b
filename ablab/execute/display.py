"""What the driver expects of a display of its progress."""

from collections.abc import Mapping
from typing import Any, Protocol

from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.train.result import RunResult


class Display(Protocol):
    """Shows progress to the user."""

    def started(self, spec: RunSpec) -> None:
        """Called when a run is submitted."""
        ...

    def ended(self, spec: RunSpec, report: AttemptOutcome, result: RunResult | None) -> None:
        """Called when a run ends, with its result if it is finished."""
        ...

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """Called regularly with the progress of the runs under way, by key."""
        ...

    def say(self, text: str) -> None:
        """Print a line."""
        ...

    def expect(self, more: int) -> None:
        """Called when `more` runs than expected before will be trained."""
        ...
