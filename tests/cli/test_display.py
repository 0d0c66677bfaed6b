"""What `ablab run` says of progress."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from ablab.cli import display
from ablab.cli.display import Lines, LiveTable
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState


@pytest.mark.parametrize("kind", [Lines, LiveTable])
def test_the_time_left_counts_what_the_runs_under_way_have_done(kind, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    shown = io.StringIO()
    lines = kind(Console(file=shown, width=200), "val/bpb")
    a, b = (SimpleNamespace(key=name, label=name) for name in "ab")
    lines.begin(4)
    for run in (a, b):
        lines.started(run)
    half = {"share": 0.5, "train/loss": 2.0, "cost/tokens_per_second": 100.0}
    lines.tick({"a": half | {"share": 0.9}, "b": half})
    now[0] = 12.0
    lines.ended(a, AttemptOutcome(RunState.FINISHED), None)
    lines.close()
    assert "[1/4] a: finished  (about 20 s left)" in shown.getvalue()  # 1.5 runs in 12 s, 2.5 to do
