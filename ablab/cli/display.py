"""Progress of a study: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Column
from rich.text import Text

from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import duration
from ablab.train.result import RunResult


class Lines:
    """Prints a line for each run that ends."""

    def __init__(self, console: Console, metric: str) -> None:
        self.console, self.metric = console, metric
        self.begun = time.monotonic()
        self.runs: dict[str, RunSpec] = {}
        self.total = self.most = 0
        self._ended: set[str] = set()
        self._shares: dict[str, float] = {}

    def begin(self, total: int, most: int = 0) -> None:
        """Start the display for `total` runs, to which others may be added up to `most`."""
        self.total, self.most, self.begun = total, max(total, most), time.monotonic()
        self._ended.clear()

    def expect(self, more: int) -> None:
        """Add `more` runs to the total."""
        self.total += more
        self.most = max(self.most, self.total)

    @property
    def done(self) -> int:
        """Number of runs that ended and have not been started again."""
        return len(self._ended)

    def started(self, spec: RunSpec) -> None:
        """Register a run that started; prints nothing."""
        self.runs[spec.key] = spec
        self._ended.discard(spec.key)

    def ended(self, spec: RunSpec, report: AttemptOutcome, result: RunResult | None) -> None:
        """Print the outcome of a run and the time left."""
        if report.state != RunState.INTERRUPTED:
            self._ended.add(spec.key)
        outcome = report.state.value if not report.reason else f"{report.state}: {report.reason}"
        if result is not None:
            outcome = f"{self.metric} {result.value(self.metric):.4f}  {result.cost.seconds:.1f} s"
            outcome += "  DIVERGED" if result.diverged else ""
        self.say(f"[{self.done}/{self.total}] {spec.label}: {outcome}{self._time_left()}")

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """Update the progress of running runs, from which the time left is estimated."""
        self._shares = {key: progress.get("share", 0.0) for key, progress in running.items()}

    def say(self, text: str) -> None:
        """Print a line of text."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """End the display."""

    def _time_left(self) -> str:
        """Estimate the time left from the share of the work that is done."""
        share = self.done + sum(
            share for key, share in self._shares.items() if key not in self._ended
        )
        elapsed = time.monotonic() - self.begun
        if share < 0.05 or self.done >= self.total:
            return ""
        about, most = (
            duration(elapsed / share * (runs - share)) for runs in (self.total, self.most)
        )
        bound = f", at most {most}" if self.most > self.total else ""
        return f"  (about {about} left{bound})"


class LiveTable(Lines):
    """Shows a live table of the running runs below the lines of ended runs."""

    def __init__(self, console: Console, metric: str) -> None:
        super().__init__(console, metric)
        self.live = Live(console=console, refresh_per_second=2, transient=True)

    def begin(self, total: int, most: int = 0) -> None:
        """Start the live table."""
        super().begin(total, most)
        self.live.start()

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """Redraw the table."""
        super().tick(running)
        table = FittingTable(Column("run", overflow="fold"), box=None, padding=(0, 2, 0, 0))
        for name in ("done", "loss", "tokens/s"):
            table.add_column(name, no_wrap=True)
        for key, progress in running.items():
            run = self.runs[key]
            cells = ("starting", "–", "–")
            if progress:
                cells = (
                    f"{100 * progress['share']:.0f} %",
                    f"{progress['train/loss']:.3f}",
                    f"{progress['cost/tokens_per_second']:,.0f}",
                )
            table.add_row(escape(run.label), *cells)
        head = f"{self.done} of {self.total} runs done{self._time_left()}"
        self.live.update(Group(Text(head), table))

    def close(self) -> None:
        """Remove the table."""
        self.live.stop()


def make_display(console: Console, metric: str) -> Lines:
    """Return the display that suits the output."""
    if console.is_terminal:
        return LiveTable(console, metric)
    return Lines(console, metric)
