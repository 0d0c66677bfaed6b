"""Reports on records of version 1, whose plain values had no `version` and no parts of their own
where a study had a single one.
"""

# ruff: noqa: F811  (the fixture `record` is another module's)

from dataclasses import replace

import pytest

from ablab.analysis.summarise import summarise
from ablab.errors import UserError
from ablab.files import write_json
from ablab.records.study_content import (
    Expected,
    RunEntry,
    SharedRuns,
    TrackerState,
    TrialEntry,
)
from ablab.report.html import write_pages
from ablab.spec.study import Study
from tests.handmade import change_between, make_arm, make_part, only_part
from tests.report.test_report import ARMS, finish, record  # noqa: F401

ARM = {
    "plugins": [],
    "parameters": 5,
    "flops_per_token": 10.0,
    "tokens": 100,
    "steps": 10,
    "batches": {"runs": [[1, 10]]},
    "recipe": {"lr": 0.001},
}
SOURCES = {"command": "x.yaml", "flop_convention": "counted"}


def part_of_version_1(config):
    """Return what a record of version 1 says of a part whose arms are `ARMS`."""
    return {
        "config": config,
        "arms": [{"name": name, "expression": name, **ARM} for name in ARMS],
        "contrasts": [
            {"name": name, "kind": "change", "weights": {name: 1.0, "base": -1.0}}
            for name in ARMS[1:]
        ],
        "infeasible": {},
        "runs": [
            {"arm": a, "seed": s, "key": f"{i}{s}"} for i, a in enumerate(ARMS) for s in range(3)
        ],
    }


def test_a_study_of_one_part(record):
    finish(record)
    typed = record.read()
    summary = summarise(record)
    pages = [file.read_bytes() for file in write_pages(summary, record)[:2]]
    content = part_of_version_1(typed.study.content())
    write_json(record.path, {"study": "x", "revision": "abc", **content, "sources": SOURCES})
    assert record.read() == replace(typed, version=1)
    assert summarise(record) == replace(summary, content=replace(typed, version=1))
    assert [file.read_bytes() for file in write_pages(summarise(record), record)[:2]] == pages


def test_a_study_of_several_parts_with_trials_and_a_common_recipe(record):
    """Beside its parts such a record had the runs and trials of all, under the parts' names."""
    study = only_part(record).study.content()
    trial = {"arm": "base", "seed": 7, "key": "70", "number": 0, "params": {"lr": 0.002}}
    runs = [{"arm": "base", "seed": 0, "key": "80"}]
    expected = {"runs": 10, "trials": 1, "flops": None, "most": None}
    parts = [
        {
            **part_of_version_1({**study, "budget": {"tokens": tokens}}),
            "label": f"tokens {tokens}",
            "baseline": "worse",
            "notes": ["generator: a = b × c"],
            "trials": [trial],
            "shared": {"params": {"lr": 0.002}, "runs": runs},
            "expected": expected,
        }
        for tokens in (100, 200)
    ]
    content = {
        "study": "x",
        "revision": "abc",
        **part_of_version_1(study),
        "arms": [],
        "parts": parts,
        "expected": expected,
        "sources": SOURCES,
        "mirrored": {"tracker": "sqlite:///x.db", "keys": ["00"]},
    }
    write_json(record.path, content)
    found = record.read()
    first, second = found.parts
    assert first == make_part(
        Study.model_validate({**study, "budget": {"tokens": 100}}),
        arms=[make_arm(name) for name in ARMS],
        runs=[RunEntry(a, s, f"{i}{s}") for i, a in enumerate(ARMS) for s in range(3)],
        contrasts=[change_between(name, "base") for name in ARMS[1:]],
        label="tokens 100",
        baseline="worse",
        notes=("generator: a = b × c",),
        trials=(TrialEntry("base", 7, "70", 0, {"lr": 0.002}),),
        shared=SharedRuns({"lr": 0.002}, (RunEntry("base", 0, "80"),)),
        expected=Expected(runs=10, trials=1),
    )
    assert (second.label, second.study.budget.tokens) == ("tokens 200", 200)
    assert found.expected == Expected(runs=10, trials=1)
    assert found.mirrored == TrackerState("sqlite:///x.db", ("00",))
    assert found.entries["70"].arm == "tokens 200 · base"


@pytest.mark.parametrize("content", [{"version": 2}, {"study": "x"}, {"version": 3, "name": "x"}])
def test_what_no_version_wrote_is_refused_in_a_line(record, content):
    write_json(record.path, content)
    with pytest.raises(UserError, match="was recorded by another version of ablab"):
        record.read()
