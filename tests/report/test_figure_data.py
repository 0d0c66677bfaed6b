"""The data of each figure, as a CSV file beside it, are the numbers of the summary."""

import csv
from io import StringIO
from pathlib import Path

import pytest

from ablab.analysis.summarise import summarise
from ablab.report.evidence import evidence_of
from ablab.report.figures import figures_of
from ablab.report.figures.canvas import Plot


@pytest.fixture(scope="module")
def part(studies):
    return summarise(studies[0]).parts[0]


def table(written: dict[str, Path], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(written[f"-{name}.csv"].read_text())))


def number(text: str) -> float | None:
    return float(text) if text else None


def test_every_figure_has_its_data(written, part, studies):
    figures = figures_of(part, evidence_of(part, studies[0].home.root))
    names = {f"-{plot.name}.csv" for plot in figures.files}
    assert {name for name in written if name.endswith(".csv")} == names
    assert all(len(table(written, plot.name)) > 1 for plot in figures.files)


def test_the_forest_has_the_effects(written, part):
    effects = {effect.name: effect for effect in part.effects}
    rows = table(written, "forest")
    changes = [effect.name for effect in part.effects if effect.kind == "change"]
    assert sorted(row["change"] for row in rows if row["kind"] == "change") == sorted(changes)
    for row in rows:
        effect = effects[row["change"]]
        drawn = [number(row[name]) for name in ("estimate", "low", "high")]
        assert drawn == [effect.estimate, effect.low, effect.high]
        assert row["verdict"] == (effect.verdict or "")


def test_a_front_has_the_arms(written, part):
    rows = table(written, "front-parameters")
    assert [row["arm"] for row in rows] == [arm.name for arm in part.arms]
    assert [number(row["val/bpb"]) for row in rows] == [arm.mean for arm in part.arms]
    assert [number(row["parameters"]) for row in rows] == [arm.parameters for arm in part.arms]
    leading = [row for row in rows if row["on front"] == "True"]
    best = min(rows, key=lambda row: float(row["val/bpb"]))
    assert best in leading
    for row in leading:
        cheaper = [r for r in rows if float(r["parameters"]) < float(row["parameters"])]
        assert all(float(r["val/bpb"]) > float(row["val/bpb"]) for r in cheaper)


def test_curves_end_where_the_runs_end(written, part):
    rows = table(written, "losses")
    arm = part.arms[0]
    ends = [row for row in rows if row["arm"] == arm.name and row["metric"] == "val/bpb"]
    last = max(ends, key=lambda row: float(list(row.values())[2]))
    assert float(last["mean"]) == pytest.approx(arm.mean, abs=1e-9)
    assert float(last["low"]) <= float(last["mean"]) <= float(last["high"])


def test_a_waterfall_adds_up(written, part):
    first, *steps, last = table(written, "waterfall")
    total = float(first["value"])
    for step in steps:
        total += float(step["estimate"])
        assert float(step["value"]) == pytest.approx(total)
    assert float(last["value"]) == pytest.approx(total)


def test_a_sweep_has_the_trials(written, part):
    rows = table(written, "bowls")
    option = list(rows[0])[1]
    trials = sorted(
        (arm.arm, trial.params[option], trial.values[0])
        for arm in part.tuning
        for trial in arm.trials
        if trial.values is not None
    )
    drawn = sorted((row["arm"], float(row[option]), float(row["val/bpb"])) for row in rows)
    assert drawn == [(arm, pytest.approx(x), pytest.approx(y)) for arm, x, y in trials]


def test_numbers_have_all_digits_and_missing_ones_are_empty():
    rows = [{"name": "a,b", "value": 0.1 + 0.2}, {"name": 'say "x"', "value": None}]
    plot = Plot("x", "X", "x", None, rows=rows)
    assert list(csv.reader(StringIO(plot.csv))) == [
        ["name", "value"],
        ["a,b", "0.30000000000000004"],
        ['say "x"', ""],
    ]
