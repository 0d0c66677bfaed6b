"""Studies of every kind, whose runs a stand-in trainer ends at once."""

import math
from dataclasses import replace
from pathlib import Path
from shutil import copytree

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_record import StudyRecord, revisions
from ablab.tracking.trackers import Trackers
from ablab.train.result import RunResult
from tests.conftest import STUDY
from tests.standin import Response, Silent, StandIn, noise_seed, result

COMPARE = STUDY.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 4")
_BUDGET = "budget: {{steps: 4}}"
# The text of a study file by the kind of study; its corpus is still to be filled in.
TEXTS = {
    "one part": STUDY.replace("seeds: 2", "seeds: 5"),
    "one seed": STUDY.replace("seeds: 2", "seeds: 1"),
    "interactions": COMPARE.replace("to: llama", "to: gpt2 + rope + swiglu").replace(
        "compare", "factorial"
    ),
    "equal arms": COMPARE.replace(
        "from: gpt2\nto: llama", "arms: {{a: gpt2, b: gpt2, c: gpt2 + rope}}"
    ),
    "budgets": COMPARE.replace(_BUDGET, "budgets: [{{steps: 4}}, {{steps: 8}}]"),
    "scales": COMPARE.replace(
        _BUDGET,
        "scales: [{{budget: {{steps: 4}}}}, {{model: {{width: 32}}, budget: {{steps: 8}}}}, "
        "{{model: {{width: 64}}, budget: {{steps: 16}}}}]",
    ),
    "clock": COMPARE.replace(_BUDGET, "budget: {{seconds: 0.2}}"),
    "tuned": COMPARE + "tune: {{lr: [1.0e-3, 2.0e-3, 4.0e-3], trials: 3}}\n",
    "nuisance": COMPARE.replace("seeds: 4", "seeds: 8")
    + 'nuisance: {{init: ["", "width_init"], recipe.warmup: [0.1, 0.3]}}\n',
    "search": COMPARE.replace("to: llama\n", "").replace(
        "kind: compare", "kind: search, changes: [swiglu, rope], trials: 4, confirm: 2"
    ),
    "adaptive": COMPARE.replace("seeds: 4", "seeds: {{start: 4, max: 6, until: decided}}"),
}
KINDS = (*TEXTS, "planned", "unfinished", "diverged", "version 1")


def make(kind: str, corpus: Path, folder: Path, name: str = "x") -> StudyRecord:
    """Return the record of a study of a kind, in a home in `folder`."""
    file = folder / f"{name}.yaml"
    file.write_text(TEXTS.get(kind, COMPARE).format(corpus=corpus))
    match kind:
        case "planned":
            session = _session(file)
            session.home.create()
            session.write()
            return session.record
        case "unfinished":
            return _unfinished(_carry_out(file))
        case "diverged":
            return _carry_out(file, diverging)
        case "version 1":
            copytree(Path(__file__).parents[1] / "homes" / "version_1", folder / "home")
            return revisions(make_home(folder / "home"), "two_arms")[-1]
        case _:
            return _carry_out(file)


def response(spec: RunSpec) -> RunResult:
    """RoPE helps, and takes longer; the rest is noise of the size of 0.01."""
    plugins = dict(spec.plugins)
    noise = 0.01 * ((noise_seed(spec) % 997) / 997 - 0.5)
    value = 3.0 - 0.4 * ("rope" in plugins) + 0.05 * spec.seed + noise
    return result(value, parameters=1000 + 7 * len(plugins), seconds=1.0 + ("rope" in plugins))


def diverging(spec: RunSpec) -> RunResult:
    """One run with RoPE diverges."""
    ended = response(spec)
    if spec.seed != 2 or "rope" not in dict(spec.plugins):
        return ended
    return replace(ended, diverged=True, metrics=dict.fromkeys(ended.metrics, math.inf))


def _carry_out(file: Path, answer: Response = response) -> StudyRecord:
    session = _session(file)
    session.run(lambda context: StandIn(session.home.root, answer))
    return session.record


def _session(file: Path) -> Session:
    home = make_home(file.parent / "home")
    session = Session(planned(Request(file, None, (), ()), home.root), home, Silent())
    session.trackers = Trackers([])
    return session


def _unfinished(record: StudyRecord) -> StudyRecord:
    """Have one run fail, one be cancelled, and one wait."""
    failed, cancelled, waiting = (
        Record(record.home.root, run.key) for run in record.read().parts[0].runs[:3]
    )
    for run in (failed, cancelled, waiting):
        (run.folder / "result.json").unlink()
    failed.fail("the disk is on fire")
    cancelled.stop.request("the user asked")
    return record
