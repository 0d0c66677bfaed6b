"""The frames of a study hold the numbers of its report, whatever kind of study it is."""

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

import ablab
from ablab.analysis.summarise import summarise
from ablab.errors import UserError
from ablab.frames.study_frames import FRAMES
from ablab.records.run_record import Record
from tests.frames.many_studies import KINDS

KEYS = {
    "effects": ["part", "name", "kind"],
    "arms": ["part", "name"],
    "costs": ["part", "arm", "cost"],
    "curves": ["key", "step", "metric"],
    "runs": ["part", "arm", "seed", "trial", "shared"],
}


def frames(record):
    return ablab.study(f"{record.name}:{record.revision}", home=record.home.root)


@pytest.fixture(params=KINDS)
def study(request, study_of):
    """The frames of a study, and what `ablab report --json` prints of it."""
    record = study_of(request.param)
    printed = json.dumps(summarise(record).as_json())
    return frames(record), json.loads(printed)


def leaves(value, path=""):
    """The numbers, texts and flags in nested mappings, by their keys joined by dots."""
    if not isinstance(value, dict):
        return {path: value}
    pairs = [leaves(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()]
    return {key: inner for pair in pairs for key, inner in pair.items()}


def assert_same(row, name, expected):
    """A cell has the value that the JSON has at the same name; null is missing."""
    value = row[name]
    if expected is None:
        assert pd.isna(value), name
    elif isinstance(expected, float):
        assert value == pytest.approx(expected, rel=1e-15), name
    else:
        assert value == expected, name


def row_of(frame, **values):
    """The only row with these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_effects_are_those_of_the_report(study):
    made, content = study
    count = 0
    for part in content["parts"]:
        for effect in part["effects"]:
            row = row_of(made.effects, part=part["part"], name=effect["name"], kind=effect["kind"])
            assert row["metric"] == part["metric"]
            intervals = effect.pop("cost_intervals")
            for cost, interval in intervals.items():
                low, high = interval or (None, None)
                assert_same(row, f"cost_intervals.{cost}.low", low)
                assert_same(row, f"cost_intervals.{cost}.high", high)
            assert row["aliases"] == ", ".join(effect.pop("aliases"))
            del effect["turns"], effect["dependences"]  # lists of objects
            for name, value in leaves(effect).items():
                if name in ("paired", "shared"):  # nothing is below them
                    assert value is None
                else:
                    assert_same(row, name, value)
            count += 1
    assert len(made.effects) == count


def test_arms_and_costs_are_those_of_the_report(study):
    made, content = study
    for part in content["parts"]:
        for arm in part["arms"]:
            row = row_of(made.arms, part=part["part"], name=arm["name"])
            for cost, value in arm.pop("cost").items():
                mean = row_of(made.costs, part=part["part"], arm=arm["name"], cost=cost)
                assert_same(mean, "mean", value)
                assert mean["reason"] == part["not_compared"].get(cost, "")
            assert row["diverged"] == ", ".join(map(str, arm.pop("diverged")))
            arm.pop("values")
            for name, value in leaves(arm).items():
                if name == "tuned":  # nothing is below it
                    assert value is None
                else:
                    assert_same(row, name, value)
    assert len(made.arms) == sum(len(part["arms"]) for part in content["parts"])


def test_runs_have_the_values_that_the_means_are_of(study):
    made, content = study
    design = made.runs[made.runs["trial"].isna() & ~made.runs["shared"]]
    for part in content["parts"]:
        values = {
            (arm["name"], value["seed"]): value["value"]
            for arm in part["arms"]
            for value in arm["values"]
        }
        rows = design[design["part"] == part["part"]]
        ended = rows[(rows["state"] == "finished") & ~rows["diverged"].fillna(False)]
        found = ended.set_index(["arm", "seed"])
        assert found[part["metric"]].to_dict() == values if values else found.empty
        assert set(rows["state"]) >= ({"finished"} if values else set())
    finished = made.runs[made.runs["state"] == "finished"]["key"].nunique()
    settled = made.runs[made.runs["state"].isin(["pruned"])]["key"].nunique()
    assert finished + settled == content["finished"]


def test_trials_are_those_of_the_report(study):
    made, content = study
    for part in content["parts"]:
        for trial in part["trials"]:
            row = row_of(made.runs, part=part["part"], arm=trial["arm"], trial=trial["number"])
            for name, value in trial["params"].items():
                assert row[f"params.{name}"] == value
            assert trial["values"] == [row[objective] for objective in part["objectives"]]
    trials = sum(len(part["trials"]) for part in content["parts"])
    assert made.runs["trial"].notna().sum() == trials


def test_every_frame_has_its_columns_and_one_row_per_key(study):
    made, _ = study
    for name in FRAMES:
        frame = getattr(made, name)
        assert set(KEYS[name]) <= set(frame.columns)
        assert not frame.duplicated(KEYS[name]).any()
        assert frame.columns.is_unique


def test_curves_are_the_measurements_and_end_at_the_final_values(study):
    made, _ = study
    root = made._home.root
    for key in made.runs["key"].unique():
        run = Record(root, key)
        curve = made.curves[made.curves["key"] == key].set_index(["step", "metric"])["value"]
        for row in run.metrics.rows():
            for name in row.keys() - {"step", "time"}:
                final = run.result.metrics.get(name) if run.result else None
                at_end = run.result and row["step"] == run.result.steps and final is not None
                assert curve[row["step"], name] == (final if at_end else row[name])
        if run.result and not run.result.diverged:
            for name, value in run.result.metrics.items():
                assert curve[run.result.steps, name] == value


def test_settings_tell_the_arms_apart(study_of):
    runs = frames(study_of("interactions")).runs
    on = runs.groupby("arm")[["plugin.rope", "plugin.swiglu"]].first()
    assert on.loc["gpt2"].tolist() == ["off", "off"]
    assert sorted(map(tuple, on.to_numpy())) == [
        ("off", "off"),
        ("off", "on"),
        ("on", "off"),
        ("on", "on"),
    ]
    assert runs["budget.steps"].unique().tolist() == [4]
    assert set(runs["dims.width"]) == {16}


def test_settings_tell_parts_trials_and_levels_apart(study_of):
    budgets = frames(study_of("budgets")).runs
    assert budgets.groupby("part")["budget.steps"].unique().map(list).to_dict() == {
        "steps 4": [4.0],
        "steps 8": [8.0],
    }
    scales = frames(study_of("scales")).runs
    assert sorted(scales.groupby("part")["dims.width"].first()) == [16, 32, 64]

    tuned = frames(study_of("tuned"))
    trials = tuned.runs[tuned.runs["trial"].notna()]
    assert set(trials["recipe.lr"]) == set(trials["params.lr"]) == {0.001, 0.002, 0.004}
    chosen = tuned.arms.set_index("name")["tuned.lr"].to_dict()
    own = tuned.runs[tuned.runs["trial"].isna() & ~tuned.runs["shared"]]
    assert own.groupby("arm")["recipe.lr"].unique().map(list).to_dict() == {
        arm: [lr] for arm, lr in chosen.items()
    }
    shared = tuned.runs[tuned.runs["shared"]]
    assert len(set(shared["recipe.lr"])) == 1
    assert list(shared["seed"]) == list(own["seed"])

    nuisance = frames(study_of("nuisance")).runs
    levels = nuisance[["nuisance.init", "plugin.width_init"]].drop_duplicates()
    assert sorted(map(tuple, levels.to_numpy())) == [("no plugin", "off"), ("width_init", "on")]
    warmups = nuisance[["nuisance.recipe.warmup", "recipe.warmup"]].drop_duplicates()
    assert sorted(map(tuple, warmups.to_numpy())) == [("0.1", 0.1), ("0.3", 0.3)]


def test_what_is_missing_is_said(study_of):
    assert frames(study_of("one part")).missing == []

    planned = frames(study_of("planned"))
    assert planned.missing == ["missing: 8 of 8 runs are not finished"]
    assert set(planned.runs["state"]) == {"waiting"}
    assert planned.effects["estimate"].isna().tolist() == [True]
    assert planned.curves.empty

    unfinished = frames(study_of("unfinished"))
    assert unfinished.missing == [
        "failed: gpt2, seed 1: the disk is on fire",
        "missing: 3 of 8 runs are not finished",
    ]
    assert dict(zip(unfinished.runs["state"], unfinished.runs["reason"], strict=True)) == {
        "failed": "the disk is on fire",
        "cancelled": "the user asked",
        "waiting": "",
        "finished": "",
    }
    assert unfinished.effects["missing"].tolist() == [True]

    diverged = frames(study_of("diverged"))
    assert diverged.missing[0].startswith("diverged: llama (seed 2): no mean")
    assert list(diverged.effects["verdict"]) == ["diverged"]
    (at_end,) = diverged.runs[diverged.runs["diverged"]]["val/bpb"]
    assert math.isinf(at_end)

    earlier = frames(study_of("version 1"))
    assert "an earlier version of ablab wrote it" in earlier.missing[0]


def test_a_verdict_is_the_object_of_the_report(study_of):
    record = study_of("budgets")
    made = frames(record)
    first, second = (part.effects[0] for part in summarise(record).parts)
    assert made.effect("llama") == made.effect("llama", "steps 4") == first
    assert made.effect("llama", "steps 8") == second
    with pytest.raises(UserError, match=r"no effect named 'lama' .did you mean 'llama'"):
        made.effect("lama")
    with pytest.raises(UserError, match=r"no part named 'steps 9' .did you mean"):
        made.effect("llama", "steps 9")


def test_studies_are_named_as_on_the_command_line(study_of):
    record = study_of("one part")
    home = record.home.root
    shown = repr(ablab.study("x", home=str(home)))
    assert shown == f"<x, revision {record.revision}: {shown.split(': ')[1]}"
    assert ablab.study(home.parent / "x.yaml", home=home).summary.revision == record.revision
    with pytest.raises(UserError, match="no study named 'y'"):
        ablab.study("y", home=home)
    with pytest.raises(UserError, match="no study named 'x@smoke'"):
        ablab.study("x@smoke", home=home)
    with pytest.raises(UserError, match=r"no study has been run in .* yet"):
        ablab.study("x", home=home / "elsewhere")


def test_importing_the_package_is_cheap():
    code = "import ablab, sys; print(sorted({'pandas', 'numpy', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
