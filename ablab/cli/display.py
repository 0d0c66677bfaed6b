"""Progress of a study: a live table on a terminal, plain lines where there is none."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.text.numbers import duration
from ablab.train.result import RunResult


class Lines:
    """A line for each run that starts or ends."""

    def __init__(self, console: Console, metric: str) -> None:
        self.console, self.metric = console, metric
        self.begun = time.monotonic()
        self.runs: dict[str, RunSpec] = {}
        self.total = 0
        self._ended: set[str] = set()
        self._shares: dict[str, float] = {}

    def begin(self, total: int) -> None:
        """How many runs will be trained."""
        self.total, self.begun = total, time.monotonic()
        self._ended.clear()

    def expect(self, more: int) -> None:
        """So many more runs were decided upon."""
        self.total += more

    @property
    def done(self) -> int:
        """Runs that ended and were not taken up again."""
        return len(self._ended)

    def started(self, spec: RunSpec) -> None:
        """No line: one when it ends is enough."""
        self.runs[spec.key] = spec
        self._ended.discard(spec.key)

    def ended(self, spec: RunSpec, report: AttemptOutcome, result: RunResult | None) -> None:
        """A line with the outcome and the time left."""
        if report.status != "interrupted":
            self._ended.add(spec.key)
        outcome = report.status if not report.reason else f"{report.status}: {report.reason}"
        if result is not None:
            outcome = f"{self.metric} {result.value(self.metric):.4f}  {result.cost.seconds:.1f} s"
            outcome += "  DIVERGED" if result.diverged else ""
        self.say(f"[{self.done}/{self.total}] {spec.label}: {outcome}{self._left()}")

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """No line between two runs; how far those under way are tells the time left."""
        self._shares = {key: progress.get("share", 0.0) for key, progress in running.items()}

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Ends the display."""

    def _left(self) -> str:
        """Time left, from the steps done and those to do."""
        share = self.done + sum(
            share for key, share in self._shares.items() if key not in self._ended
        )
        elapsed = time.monotonic() - self.begun
        if share < 0.05 or self.done >= self.total:
            return ""
        return f"  (about {duration(elapsed / share * (self.total - share))} left)"


class LiveTable(Lines):
    """A live table of the runs under way, with the lines of ended runs above it."""

    def __init__(self, console: Console, metric: str) -> None:
        super().__init__(console, metric)
        self.live = Live(console=console, refresh_per_second=2, transient=True)

    def begin(self, total: int) -> None:
        """Starts the live table."""
        super().begin(total)
        self.live.start()

    def tick(self, running: Mapping[str, Mapping[str, Any]]) -> None:
        """Redraws the table."""
        super().tick(running)
        table = Table("run", "done", "loss", "tokens/s", box=None, padding=(0, 2, 0, 0))
        for key, progress in running.items():
            run = self.runs[key]
            if progress:
                share, speed = 100 * progress["share"], progress["cost/tokens_per_second"]
                shown = (f"{share:.0f} %", f"{progress['train/loss']:.3f}", f"{speed:,.0f}")
            else:
                shown = ("starting", "–", "–")
            table.add_row(escape(run.label), *shown)
        head = f"{self.done} of {self.total} runs done{self._left()}"
        self.live.update(Group(Text(head), table))

    def close(self) -> None:
        """Takes the table away."""
        self.live.stop()


def make_display(console: Console, metric: str) -> Lines:
    """The display that fits where the output goes."""
    return LiveTable(console, metric) if console.is_terminal else Lines(console, metric)
