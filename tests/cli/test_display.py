"""What `ablab run` says of progress."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from ablab.cli import display
from ablab.cli.display import Lines, LiveTable
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_state import RunState


def test_the_time_left_is_bounded_while_more_runs_may_follow(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    shown = io.StringIO()
    lines = Lines(Console(file=shown, width=200), "val/bpb")
    lines.begin(2, 4)
    runs = [SimpleNamespace(key=name, label=name) for name in "abcd"]
    for i, run in enumerate(runs):
        lines.started(run)
        now[0] += 10.0
        if i == 1:
            lines.expect(2)
        lines.ended(run, AttemptOutcome(RunState.FINISHED), None)
    texts = shown.getvalue().splitlines()
    assert texts[0] == "[1/2] a: finished  (about 10 s left, at most 30 s)"
    assert texts[1:3] == [
        "[2/4] b: finished  (about 20 s left)",
        "[3/4] c: finished  (about 10 s left)",
    ]


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
