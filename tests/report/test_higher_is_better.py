"""A metric of which higher values are better is one entry of the registry: the same study under a
metric and under its negative comes to the same verdicts, choices and figures.
"""

from dataclasses import replace

import optuna
import pytest
from matplotlib.colors import to_rgb

from ablab.analysis.summarise import summarise
from ablab.analysis.waterfall_steps import steps_of
from ablab.metrics import METRICS, Metric
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.report.figures.canvas import BLUE, VERMILION
from ablab.report.figures.front import COSTS, fronts, on_front
from ablab.report.figures.waterfall import waterfall
from ablab.report.sentences import how_judged, sentence
from ablab.report.terminal import effects_table
from ablab.schedule.shared_recipe import common_point
from ablab.stats.front import dominated_by, front
from ablab.tracking.optuna.study import Proposer
from ablab.tracking.optuna.trial_store import TrialStore
from tests.report import realistic
from tests.report.realistic import TUNED, carry_out

NAME = "val/negative_bpb"


@pytest.fixture(scope="module")
def both(tmp_path_factory, corpus):
    """The same study, judged by bits per byte and by their negative."""
    folder = tmp_path_factory.mktemp("directions")
    text = TUNED.replace("source: stdlib", f'source: text, files: ["{corpus}/*.txt"]')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, NAME, Metric(NAME, "val", "maximize", "bits", "byte"))
        finish = Record.finish

        def finish_with_negatives(record, result):
            splits = ("val", "test")
            negatives = {f"{s}/negative_bpb": -result.metrics[f"{s}/bpb"] for s in splits}
            finish(record, replace(result, metrics={**result.metrics, **negatives}))

        patch.setattr(realistic.Record, "finish", finish_with_negatives)
        records = []
        for name, metric in (("low", "val/bpb"), ("high", NAME)):
            file = folder / f"{name}.yaml"
            file.write_text(f"{text}metric: {metric}\n")
            records.append(carry_out(file, make_home(folder / name)))
        yield [summarise(record).parts[0] for record in records]


def test_verdicts_and_sentences(both):
    low, high = both
    assert [e.verdict for e in high.effects] == [e.verdict for e in low.effects]
    assert {"helps", "hurts"} <= {e.verdict for e in high.effects}
    for down, up in zip(low.effects, high.effects, strict=True):
        assert up.estimate == pytest.approx(-down.estimate)
    helps = next(e for e in high.effects if e.verdict == "helps")
    assert f"{helps.name} helps: " in sentence(helps, NAME)
    assert f"higher {NAME}" in sentence(helps, NAME)
    assert "above zero is better" in how_judged(NAME)
    assert "above 0 is better" in str(effects_table(high).title)


def test_tuning_takes_the_same_recipes(both):
    low, high = both
    assert {a.arm: a.best for a in high.tuning} == {a.arm: a.best for a in low.tuning}
    assert high.shared == low.shared
    a, b = (("lr", 1.0),), (("lr", 2.0),)
    assert common_point([{a: 1.0, b: 2.0}], METRICS[NAME]) == {"lr": 2.0}


def test_the_waterfall(both):
    steps = [steps_of(part) for part in both]
    assert steps[0] is not None
    assert steps[1] is not None
    assert [step.name for step in steps[1].changes] == [step.name for step in steps[0].changes]
    plot = waterfall(steps[1], NAME)
    assert plot is not None
    axes = plot.figure.axes[0]
    assert axes.get_xlabel() == f"{NAME} (right is better)"
    colours = [bar.get_facecolor()[:3] for bar in axes.patches]
    expected = [
        to_rgb(BLUE if step.estimate > 0 else VERMILION)
        for step in steps[1].changes
        if not step.rest
    ]
    assert colours[: len(expected)] == expected


def test_the_front(both):
    cost = COSTS[0].metric
    points = [{i: (arm.seconds, arm.mean) for i, arm in enumerate(part.arms)} for part in both]
    low, high = (
        on_front(values, (cost, METRICS[part.metric]))
        for values, part in zip(points, both, strict=True)
    )
    assert low == high
    assert 0 < len(low) < len(points[0])
    assert any("up is better" in plot.figure.axes[0].get_ylabel() for plot in fronts(both[1]))
    assert front({"a": (3.0, 1.0), "b": (1.0, 1.0)}, 2, [1, -1]) == ["a"]
    table = {("a", s): 3.0 + 0.01 * s for s in range(4)} | {("b", s): 1.0 for s in range(4)}
    assert dominated_by([table], "b", [1]) == "a"
    assert dominated_by([table], "a", [1]) is None


def test_optuna_maximizes(both, tmp_path):
    proposer = Proposer({"lr": [1, 2]}, [METRICS[NAME].direction])
    view = TrialStore(str(tmp_path / "x.journal"), "x", [NAME, "cost/seconds"])
    maximize, minimize = (optuna.study.StudyDirection[d] for d in ("MAXIMIZE", "MINIMIZE"))
    assert proposer._study.directions == [maximize]
    assert view._study.directions == [maximize, minimize]
