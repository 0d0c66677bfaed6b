"""Contents of studies' records made by hand, for tests of what is computed from them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.summary import PartSummary, Progress
from ablab.data.batches import Batches
from ablab.design.layout import Contrast
from ablab.records.run_record import Record
from ablab.records.study_content import (
    Arm,
    Expected,
    PartContent,
    RunEntry,
    Sources,
    StudyContent,
)
from ablab.records.study_record import StudyRecord
from ablab.spec.study import Study

STUDY = {
    "from": "gpt2",
    "to": "llama",
    "design": {"kind": "compare"},
    "model": {"layers": 1},
    "data": {"source": "text", "files": ["x.txt"], "tokenizer": {"kind": "byte"}},
    "budget": {"tokens": 100.0},
}


def make_study(**keys: Any) -> Study:
    """Return a study; `keys` add to those of `STUDY` or replace them."""
    return Study.model_validate({**STUDY, **keys})


def make_arm(name: str, **fields: Any) -> Arm:
    """Return an arm of 100 training tokens."""
    values: dict[str, Any] = {
        "name": name,
        "expression": name,
        "plugins": (),
        "parameters": 5,
        "flops_per_token": 10.0,
        "tokens": 100,
        "steps": 10,
        "batches": Batches(((1, 10),)),
        "recipe": {"lr": 0.001},
    }
    return Arm(**{**values, **fields})


def change_between(arm: str, reference: str, name: str | None = None) -> Contrast:
    """Return the effect of an arm against another; it is named like the arm by default."""
    return Contrast(name or arm, "change", {arm: 1.0, reference: -1.0})


def make_part(
    study: Study,
    arms: Iterable[Arm],
    runs: Iterable[RunEntry],
    contrasts: Iterable[Contrast],
    **fields: Any,
) -> PartContent:
    """Return a part whose baseline is its first arm, and which expects the runs that it has."""
    arms = tuple(arms)
    runs = tuple(runs)
    values: dict[str, Any] = {
        "label": "",
        "study": study,
        "baseline": arms[0].name,
        "arms": arms,
        "runs": runs,
        "trials": (),
        "contrasts": tuple(contrasts),
        "expected": Expected(len({run.key for run in runs}), 0),
    }
    return PartContent(**{**values, **fields})


def make_content(*parts: PartContent, **fields: Any) -> StudyContent:
    """Return the content of the record of a study with these parts."""
    values: dict[str, Any] = {
        "name": "x",
        "revision": "abc",
        "study": parts[0].study,
        "parts": parts,
        "expected": Expected(len({run.key for part in parts for run in part.runs}), 0),
        "sources": Sources(command="x.yaml", flop_convention="counted"),
    }
    return StudyContent(**{**values, **fields})


def make_arm_summary(name: str, **fields: Any) -> ArmSummary:
    """Return the summary of an arm without results."""
    values: dict[str, Any] = {
        "name": name,
        "mean": None,
        "sd": None,
        "n": 0,
        "values": [],
        "test": None,
        "parameters": 5,
        "tokens": None,
        "flops": None,
        "seconds": None,
        "tokens_per_second": None,
        "peak_memory_bytes": None,
        "diverged": [],
    }
    return ArmSummary(**{**values, **fields})


def make_summary(part: PartContent | None = None, **fields: Any) -> PartSummary:
    """Return the summary of a part, by default of one with a single arm: nothing is known of it."""
    values: dict[str, Any] = {
        "content": part or make_part(make_study(), [make_arm("gpt2")], [], []),
        "progress": Progress(runs=0, finished=0, failed={}, devices=[]),
        "arms": [],
        "effects": [],
        "sd": None,
        "dof": 0,
        "noise_floor": None,
        "detectable_effect": None,
        "margin": None,
        "trials": [],
        "tuning": [],
        "survivors": {},
        "not_compared": {},
        "cost_notes": [],
        "spared": None,
        "looks": (),
    }
    return PartSummary(**{**values, **fields})


def only_part(record: StudyRecord) -> PartContent:
    """Return the part of a study that has a single one."""
    (part,) = record.read().parts
    return part


def change_part(record: StudyRecord, **fields: Any) -> None:
    """Give the only part of a recorded study other values; it expects the runs that it then has."""
    part = replace(only_part(record), **fields)
    if "expected" not in fields:
        part = replace(
            part, expected=replace(part.expected, runs=len({run.key for run in part.runs}))
        )
    record.write(replace(record.read(), parts=(part,), expected=part.expected))


def change_study(record: StudyRecord, **keys: Any) -> None:
    """Give a recorded study of one part other keys."""
    content = record.read()
    study = Study.model_validate({**content.study.content(), **keys})
    record.write(replace(content, study=study, parts=(replace(only_part(record), study=study),)))


def change_result(record: StudyRecord, key: str, cost: Mapping[str, Any], **fields: Any) -> None:
    """Give the result of a run other costs and other values."""
    run = Record(record.home.root, key)
    result = run.result
    assert result is not None
    run.finish(replace(result, cost=replace(result.cost, **cost), **fields))
