"""The waterfall's steps where arms have unequal seeds, and its caption."""

# ruff: noqa: F811  (the fixture `record` is another module's)

import numpy as np
import pytest

from ablab.analysis.summarise import summarise
from ablab.analysis.waterfall_steps import steps_of
from ablab.report.figures.waterfall import waterfall
from tests.report.test_evidence import change
from tests.report.test_report import finish, record  # noqa: F401


def path(record, kind="path"):
    """A path whose last step is decided at the first look, on two seeds; the first step takes a
    third.
    """
    steps = [
        ("first", "change", {"mine <b>": 1.0, "base": -1.0}),
        ("last", "change", {"worse": 1.0, "mine <b>": -1.0}),
    ]
    named = [*steps, ("all", "total", {"worse": 1.0, "base": -1.0})]
    content = record.read()
    config = {**content["config"], "design": {"kind": kind}, "seeds": {"start": 2, "max": 3}}
    runs = [run for run in content["runs"] if (run["arm"], run["seed"]) != ("worse", 2)]
    contrasts = [{"name": name, "kind": sort, "weights": w} for name, sort, w in named]
    change(record, config=config, runs=runs, contrasts=contrasts)
    finish(
        record, {"base": (2.50, 2.60, 2.55), "mine <b>": (2.49, 2.61, 2.52), "worse": (7.49, 7.61)}
    )
    return summarise(record)


def test_a_path_sums_exactly_though_a_step_was_decided_earlier(record):
    summary = path(record)
    assert [effect.seeds for effect in summary.effects] == [3, 2, 2]
    found = steps_of(summary, record.read())
    assert found is not None
    # The value that is missing: (3 × 15.1 + 3 × 5.07 − 30.37) / 4; the plain means of the looks do
    # not sum.
    worse = (7.49 + 7.61 + (3 * 15.1 + 3 * 5.07 - 30.37) / 4) / 3
    base, mine = np.mean([2.50, 2.60, 2.55]), np.mean([2.49, 2.61, 2.52])
    assert [step.estimate for step in found.changes] == pytest.approx([mine - base, worse - mine])
    assert not any(step.rest for step in found.changes)
    assert found.first + sum(step.estimate for step in found.changes) == pytest.approx(
        worse, abs=1e-12
    )
    assert summary.effects[1].estimate == pytest.approx(5.0)
    assert (found.changes[1].low, found.changes[1].high) == (
        summary.effects[1].low,
        summary.effects[1].high,
    )
    assert "decided at an earlier look has that look's estimate and interval." in found.caption


def test_captions_are_sentences(record):
    for kind in ("path", "shapley", "leave_one_out", "one_in_one_out", "factorial"):
        found = steps_of(path(record, kind), record.read())
        assert found is not None
        assert not any(wrong in found.caption for wrong in (".;", "..", "; these"))
    plot = waterfall(found, "val/bpb")
    assert plot is not None
    assert plot.caption == found.caption


def test_only_designs_whose_changes_may_interact_have_a_rest(record):
    summary, content = path(record), record.read()
    for contrast in content["contrasts"][:1]:
        contrast["weights"] = {"mine <b>": 0.5, "base": -0.5}
    rests = {}
    for kind in ("path", "shapley", "leave_one_out", "factorial"):
        content["config"]["design"] = {"kind": kind}
        found = steps_of(summary, content)
        assert found is not None
        rests[kind] = any(step.rest for step in found.changes)
    assert rests == {"path": False, "shapley": False, "leave_one_out": True, "factorial": True}


def test_a_step_of_a_diverged_arm_leaves_no_waterfall(record):
    path(record)
    finish(record, {"mine <b>": (2.49, 2.61, 2.52)}, diverged={("mine <b>", 0)})
    assert steps_of(summarise(record), record.read()) is None
