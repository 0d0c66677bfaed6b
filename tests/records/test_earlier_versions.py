"""Records of version 1, which earlier versions of ablab wrote, made by hand."""

import json
from dataclasses import replace

import pytest

from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.status import StatusReader
from ablab.records.study_content import VERSION, Expected, RunEntry, TrialEntry
from ablab.records.study_reader import read_content
from ablab.records.study_record import StudyRecord
from ablab.train.budget import TimeLimit
from tests.standin import result
from tests.study_records import STUDY

ARM = {
    "name": "gpt2",
    "expression": "gpt2",
    "plugins": ["pre_norm", "scaled_init"],
    "parameters": 8368,
    "flops_per_token": 48864.0,
    "tokens": 256,
    "steps": 4,
    "batches": {"runs": [[4, 4]]},
    "recipe": {"lr": 1e-3},
}
CONTRAST = {
    "name": "llama",
    "kind": "change",
    "weights": {"llama": 1.0, "gpt2": -1.0},
    "aliases": [],
    "parts": [],
}


def one_part(keys=("a", "b"), study=STUDY, **more):
    """What version 1 wrote of a study without trials at a single budget, or of a part."""
    return {
        "config": study.content("tracking"),
        "arms": [ARM, {**ARM, "name": "llama", "batches": TIME_LIMIT}],
        "runs": [
            {"arm": arm, "seed": 1, "key": key}
            for arm, key in zip(("gpt2", "llama"), keys, strict=True)
        ],
        "contrasts": [CONTRAST],
        "infeasible": {"gpt2 + rope": "conflict"},
        **more,
    }


TIME_LIMIT = {"seconds": 2.5, "batch": 4, "machine": "cpu", "layout": "1 process"}
HEAD = {
    "study": "x",
    "revision": "r1",
    "sources": {"command": "x.yaml", "flop_convention": "2 FLOPs a multiply-add"},
}


def write(root, content):
    record = StudyRecord(make_home(root), "x", "r1")
    record.path.parent.mkdir(parents=True)
    record.path.write_text(json.dumps(content))
    return record


def test_a_study_at_one_budget_becomes_a_study_of_one_part(tmp_path):
    record = write(tmp_path, {**HEAD, **one_part()})
    content = record.read()
    assert (content.name, content.revision, content.version) == ("x", "r1", 1)
    assert content.study == STUDY
    assert (content.sources.command, content.sources.numerics) == ("x.yaml", 1)
    (part,) = content.parts
    assert (part.label, part.study, part.baseline) == ("", STUDY, "gpt2")
    assert [arm.batches for arm in part.arms] == [Batches(((4, 4),)), TimeLimit(**TIME_LIMIT)]
    assert part.runs == (RunEntry("gpt2", 1, "a"), RunEntry("llama", 1, "b"))
    assert part.contrasts[0].weights == {"llama": 1.0, "gpt2": -1.0}
    assert part.infeasible == {"gpt2 + rope": "conflict"}
    # What studies that were written before there were trials, notes and shared recipes lack.
    assert (part.trials, part.notes, part.shared) == ((), (), None)
    assert content.expected == part.expected == Expected(2, 0)


def test_trials_and_shared_runs_are_read_with_what_they_were_written_with(tmp_path):
    trial = {"arm": "gpt2", "number": 0, "seed": 9, "key": "t", "params": {"lr": 0.1}}
    shared = {"params": {"lr": 0.1}, "runs": [{"arm": "gpt2", "seed": 1, "key": "s"}]}
    expected = {"runs": 3, "trials": 1, "flops": 1e9, "most": 4}
    more = {"trials": [trial], "shared": shared, "expected": expected, "notes": ["tuned"]}
    content = write(tmp_path, {**HEAD, **one_part(baseline="llama", **more)}).read()
    (part,) = content.parts
    assert part.trials == (TrialEntry("gpt2", 9, "t", 0, {"lr": 0.1}),)
    assert part.shared is not None
    assert part.shared.runs == (RunEntry("gpt2", 1, "s"),)
    assert (part.baseline, part.notes) == ("llama", ("tuned",))
    assert content.expected == Expected(3, 1, 1e9, 4)
    assert content.entries.keys() == {"a", "b", "s", "t"}


def test_a_study_of_several_parts_keeps_them(tmp_path):
    parts = [
        {"label": "steps 4", **one_part(("a", "b"))},
        {"label": "steps 8", **one_part(("c", "b"))},  # one run serves both
    ]
    whole = {**one_part(), "arms": [], "contrasts": [], "runs": [], "parts": parts}
    record = write(tmp_path, {**HEAD, **whole})
    content = record.read()
    assert [part.label for part in content.parts] == ["steps 4", "steps 8"]
    assert [run.arm for run in content.run_entries.values()] == [
        "steps 4 · gpt2",
        "steps 8 · llama",
        "steps 8 · gpt2",
    ]
    assert content.expected.runs == 3
    Record(tmp_path, "a").folder.mkdir(parents=True)
    Record(tmp_path, "a").finish(result(1.0))
    status = StatusReader(record).read()
    assert (status.runs.total, status.runs.finished, status.runs.waiting) == (3, 1, 2)


def test_what_is_read_is_written_in_the_present_form(tmp_path):
    record = write(tmp_path, {**HEAD, **one_part()})
    content = replace(record.read(), version=VERSION)
    record.write(content)
    assert json.loads(record.path.read_text())["version"] == VERSION
    assert record.read() == content
    assert read_content(content.as_json()) == content


@pytest.mark.parametrize("lost", ["config", "arms", "runs", "sources"])
def test_what_is_of_no_version_is_refused(tmp_path, lost):
    content = {**HEAD, **one_part()}
    del content[lost]
    with pytest.raises(UserError, match=r"^'x' \(revision r1\) was recorded by another version"):
        write(tmp_path, content).read()


SPEC = {
    "key": "a",
    "study": "x",
    "arm": "gpt2",
    "seed": 1,
    "family": "gpt1",
    "plugins": [["rope", {"base": 1e4}]],
    "dims": {"width": 16, "head_dim": None},
    "recipe": {"lr": 1e-3},
    "data": "d",
    "batches": [[4, 4]],
    "flops_per_token": 1.0,
    "validate_at": [0.5],
    "checkpoint_seconds": 30.0,
}


def test_batches_of_a_run_are_read_and_those_of_a_time_limit():
    spec = RunSpec.read(SPEC)
    assert (spec.batches, spec.plugins) == (Batches(((4, 4),)), (("rope", {"base": 1e4}),))
    assert (spec.trial, spec.part, spec.threads, spec.numerics) == (None, "", 1, 1)
    assert RunSpec.read({**SPEC, "limit": None}) == spec
    timed = RunSpec.read({**SPEC, "batches": [], "limit": TIME_LIMIT})
    assert timed == replace(spec, batches=TimeLimit(**TIME_LIMIT))


def test_a_specification_of_a_later_version_is_none(tmp_path):
    record = Record(tmp_path, "a")
    record.folder.mkdir(parents=True)
    (record.folder / "spec.json").write_text(json.dumps({**SPEC, "dropout": 0.1}))
    assert record.spec is None
    with pytest.raises(ValueError, match="dropout"):
        RunSpec.read({**SPEC, "dropout": 0.1})
