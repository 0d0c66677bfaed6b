"""A home that ablab wrote when its records had no version: it is read, and nothing in it is reused.

The home in `tests/homes/version_1` is of `two_arms.yaml`, trained by the last commit that wrote
such records; `report.json` is the report that this commit wrote of it.
"""

import json
import shutil
from pathlib import Path

import pytest

from ablab.analysis.summarise import summarise
from ablab.analysis.timings import TIMED
from ablab.arch.composition.registry import load_registry
from ablab.cli.manage import studies
from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.fsck.check import check_home, repair_home
from ablab.models.load import Sampling, continuation, trained_model
from ablab.records.home import Home, make_home
from ablab.records.run_record import Record
from ablab.records.status import StatusReader
from ablab.records.study_record import StudyRecord, revisions
from ablab.report.files import write_files
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, StandIn

HOME = Path(__file__).parent.parent / "homes" / "version_1"
ROTARY = "f76b9970ad465c5a79fa60e8"  # the run of arm `rotary` on seed 1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    shutil.copytree(HOME, tmp_path / "home")
    return make_home(tmp_path / "home")


@pytest.fixture
def record(home: Home) -> StudyRecord:
    (record,) = revisions(home, "two_arms")
    return record


def test_it_is_listed(home, record, capsys):
    studies(as_json=True, home=home.root)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["study"], row["revision"]) == ("two_arms", "98eae8dc7a4f")
    assert (row["runs"], row["finished"], row["failed"]) == (4, 4, 0)
    counts = StatusReader(record).read().runs
    assert (counts.finished, counts.total) == (4, 4)


def test_its_report_has_the_figures_of_the_report_written_then(record):
    then = json.loads((HOME / "report.json").read_text())
    content = summarise(record).as_json()
    (part,) = content["parts"]
    for key in ("metric", "baseline", "sd", "dof", "margin", "detectable_effect", "noise_floor"):
        assert part[key] == then[key], key
    assert [arm["values"] for arm in part["arms"]] == [arm["values"] for arm in then["arms"]]
    for arm, before in zip(part["arms"], then["arms"], strict=True):
        # Times were read off the runs then, and come from rounds of turns now.
        assert all(arm["cost"].pop(name) is None for name in TIMED)
        assert all(before["cost"].pop(name) > 0 for name in TIMED)
        assert {key: arm[key] for key in before} == before
    for effect, before in zip(part["effects"], then["effects"], strict=True):
        # Two seeds had a verdict then, and give estimates now.
        assert (before.pop("verdict"), effect.pop("verdict")) == ("undecided", None)
        assert (before.pop("seeds_needed") is None, effect.pop("seeds_needed")) == (False, None)
        assert before.pop("cost_intervals").keys() == set(TIMED)
        assert effect.pop("cost_intervals") == dict.fromkeys(TIMED)
        assert all(effect["costs"].pop(name) is None for name in TIMED)
        assert all(before["costs"].pop(name) > 0 for name in TIMED)
        assert effect.pop("costs") == pytest.approx(before.pop("costs"))
        figures = {key for key, value in before.items() if isinstance(value, float)}
        assert {key: effect[key] for key in before.keys() - figures} == {
            key: before[key] for key in before.keys() - figures
        }
        for key in figures:
            assert effect[key] == pytest.approx(before[key], rel=1e-9)
    assert content["numerics"] == 1
    page = write_files(summarise(record), record)[0].read_text()
    assert "version 1" in page


def test_its_models_are_loaded_and_continue_a_text(home):
    spec, decoder = trained_model(Record(home.root, ROTARY), load_registry([]))
    assert (spec.arm, spec.seed, spec.numerics) == ("rotary", 1, 1)
    assert sum(weight.numel() for weight in decoder.parameters()) == 7424
    text = continuation(home, (ROTARY[:6], "line"), Sampling(4, 0.0, 0), load_registry([]))
    assert len("".join(text)) > 0


def test_its_runs_are_trained_again_and_a_line_says_so(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    for i in range(1, 9):
        lines = [
            f"line {j} of file {i}: the quick brown fox jumps over the lazy dog\n"
            for j in range(1, 61)
        ]
        (tmp_path / "corpus" / f"{i}.txt").write_text("".join(lines))
    request = Request(home.root / "two_arms.yaml", None, (), ())
    session = Session(planned(request, home.root), home, Silent())
    session.trackers = Trackers([])
    # The defaults of `data` have changed since, so the same file is another revision.
    assert session.record.revision != "98eae8dc7a4f"
    for suffix in (".json", ".executions"):
        path = session.record.path.with_name(f"98eae8dc7a4f{suffix}")
        path.rename(session.record.path.with_suffix(suffix))
    assert session.missing == 4
    before = {path.name for path in (home.root / "runs").iterdir()}
    executor = StandIn(home.root, lambda spec: 3.0)
    with pytest.raises(UserError, match="`ablab fsck --repair` makes it writable"):
        session.run(lambda context: executor)
    assert not executor.trained
    repair_home(home, lambda finding: None)
    session.run(lambda context: executor)
    assert len(executor.trained) == 4
    assert not {spec.key for spec in executor.trained} & before
    assert sum("earlier version of ablab" in line for line in session.display.said) == 1
    assert before <= {path.name for path in (home.root / "runs").iterdir()}


def _sealed_files(home: Home) -> list[Path]:
    files = home.root.glob("*/*/*.json")
    return [file for file in files if file.name != "tokenizer.json"]  # its manifest has its digest


def test_digests_are_added_to_it_and_then_damage_is_noticed(home, record):
    contents = {path: json.loads(path.read_text()) for path in _sealed_files(home)}
    figures = summarise(record).as_json()
    assert home.is_unverified
    assert [finding.path for finding in check_home(home)] == [home.root]
    repair_home(home, lambda finding: None)
    assert not home.is_unverified
    assert not list(check_home(home))
    assert summarise(record).as_json() == figures
    for path, content in contents.items():
        now = json.loads(path.read_text())
        assert now.pop("seal")["format"] == 1
        assert content.items() <= now.items()
    result = Record(home.root, ROTARY).folder / "result.json"
    result.write_text(result.read_text().replace('val/bpb": 7', 'val/bpb": 6'))
    assert [finding.path for finding in check_home(home)] == [result]
    assert not Record(home.root, ROTARY).finished
