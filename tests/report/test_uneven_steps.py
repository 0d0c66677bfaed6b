"""The waterfall's steps where arms have unequal seeds, and its caption."""

# ruff: noqa: F811  (the fixture `record` is another module's)

from dataclasses import replace

import numpy as np
import pytest

from ablab.analysis.summarise import summarise
from ablab.analysis.waterfall_steps import steps_of
from ablab.records.study_content import RunEntry
from ablab.report.figures.waterfall import caption, waterfall
from tests.handmade import change_between, change_part, change_study, only_part
from tests.report.test_report import ARMS, finish, record  # noqa: F401

BASE = (2.50, 2.60, 2.55, 2.52, 2.58)
MINE = (2.49, 2.61, 2.52, 2.53, 2.59)
WORSE = (7.49, 7.61, 7.52, 7.53)


def path(record, kind="path"):
    """A path whose last step is decided at the first look, on four seeds; the first step takes a
    fifth.
    """
    contrasts = (
        change_between("mine <b>", "base", "first"),
        change_between("worse", "mine <b>", "last"),
        replace(change_between("worse", "base", "all"), kind="total"),
    )
    runs = [
        RunEntry(arm, seed, f"{i}{seed}")
        for i, arm in enumerate(ARMS)
        for seed in range(5)
        if (arm, seed) != ("worse", 4)
    ]
    change_study(record, design={"kind": kind}, seeds={"start": 4, "max": 5})
    change_part(record, runs=tuple(runs), contrasts=contrasts)
    finish(record, {"base": BASE, "mine <b>": MINE, "worse": WORSE})
    return summarise(record)


def test_a_path_sums_exactly_though_a_step_was_decided_earlier(record):
    summary = path(record).parts[0]
    assert [effect.seeds for effect in summary.effects] == [5, 4, 4]
    found = steps_of(summary)
    assert found is not None
    # The value that is missing, from the totals of its arm, its seed and the whole table; the plain
    # means of the looks do not sum.
    total = sum(BASE) + sum(MINE) + sum(WORSE)
    missing = (3 * sum(WORSE) + 5 * (BASE[4] + MINE[4]) - total) / ((3 - 1) * (5 - 1))
    worse = (sum(WORSE) + missing) / 5
    base, mine = np.mean(BASE), np.mean(MINE)
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
    assert "of the seeds that all of its arms have." in caption(found)


def test_captions_are_sentences(record):
    for kind in ("path", "shapley", "leave_one_out", "one_in_one_out", "factorial"):
        found = steps_of(path(record, kind).parts[0])
        assert found is not None
        assert not any(wrong in caption(found) for wrong in (".;", "..", "; these"))
    plot = waterfall(found, "val/bpb")
    assert plot is not None
    assert plot.caption == caption(found)


def test_only_designs_whose_changes_may_interact_have_a_rest(record):
    path(record)
    first, *others = only_part(record).contrasts
    half = replace(first, weights={"mine <b>": 0.5, "base": -0.5})
    change_part(record, contrasts=(half, *others))
    rests = {}
    for kind in ("path", "shapley", "leave_one_out", "factorial"):
        change_study(record, design={"kind": kind})
        found = steps_of(summarise(record).parts[0])
        assert found is not None
        rests[kind] = any(step.rest for step in found.changes)
    assert rests == {"path": False, "shapley": False, "leave_one_out": True, "factorial": True}


def test_a_step_of_a_diverged_arm_leaves_no_waterfall(record):
    path(record)
    finish(record, {"mine <b>": MINE}, diverged={("mine <b>", 0)})
    assert steps_of(summarise(record).parts[0]) is None
