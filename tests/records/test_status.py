"""How studies stand, and what is done to them, on homes made by hand."""

import json
import math
import os
import time
from dataclasses import asdict, replace

import pytest

from ablab.cli.manage import studies as list_studies
from ablab.errors import UserError
from ablab.execute.manage import cancel, find_target, plan_removal, remove, retry
from ablab.records.home import make_home
from ablab.records.lookup import records_of
from ablab.records.run_record import Record
from ablab.records.status import StatusReader
from ablab.records.study_content import RunEntry, TrialEntry
from ablab.sealed import write_sealed
from tests.standin import result
from tests.study_records import write_study


def study(root, name, keys, trials=(), revision="r1"):
    """A study's record with a run a key, all of the arm that the key begins with."""
    runs = [RunEntry(key[0], i, key) for i, key in enumerate(keys)]
    more = [TrialEntry(key[0], 1, key, i, {}) for i, key in enumerate(trials)]
    return write_study(root, name, runs, more, revision)


def run(root, key):
    record = Record(root, key)
    record.folder.mkdir(parents=True, exist_ok=True)
    return record


def finish(root, key, *, seconds=10.0, diverged=False):
    run(root, key).finish(replace(result(1.0, seconds=seconds), diverged=diverged))


def progress(root, key, share, seconds):
    """A run under way in this process."""
    assert run(root, key).lease().acquire()
    told = {
        "share": share,
        "train/loss": math.nan,
        "cost/tokens": 100 * seconds,
        "cost/tokens_per_second": 100.0,
    }
    write_sealed(Record(root, key).folder / "progress.json", told, sync=False)


def test_every_state_is_told(tmp_path):
    record = study(
        tmp_path, "x", ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "c1"], trials=["t1", "t2", "a1"]
    )
    finish(tmp_path, "a1")
    finish(tmp_path, "a2", diverged=True)
    progress(tmp_path, "a3", 0.5, 20.0)
    run(tmp_path, "b1").attempts.add("killed", 7)
    Record(tmp_path, "b1").fail("killed again", pid=8)
    Record(tmp_path, "b2").stop.request("cancelled")
    Record(tmp_path, "t1").stop.request("worse than half", "pruned")
    run(tmp_path, "c1").lease().path.write_text(json.dumps({"host": "elsewhere", "pid": 5}))
    now = StatusReader(record).read()
    counts = now.runs
    assert (counts.total, counts.finished, counts.diverged, counts.running, counts.waiting) == (
        8,
        2,
        1,
        2,
        2,
    )
    assert (counts.failed, counts.cancelled, counts.pruned) == (1, 1, 0)
    assert now.trials is not None
    assert (now.trials.total, now.trials.pruned, now.trials.waiting) == (
        2,
        1,
        1,
    )  # a1 is a run of the design
    ended = {e.key: e for e in now.ended}
    assert (ended["b1"].reason, ended["b1"].attempts, ended["b1"].trial) == (
        "killed again",
        2,
        None,
    )
    assert (ended["t1"].state, ended["t1"].reason, ended["t1"].trial) == (
        "pruned",
        "worse than half",
        0,
    )
    running = {r.key: r for r in now.running}
    assert (running["a3"].share, running["a3"].loss, running["a3"].tokens_per_second) == (
        0.5,
        None,
        100.0,
    )
    assert (running["c1"].where, running["c1"].share) == ("elsewhere:5", None)
    assert not now.settled
    json.dumps(now.as_dict(), allow_nan=False)


def test_time_left_is_what_the_arms_runs_took_over_the_runs_side_by_side(tmp_path):
    record = study(tmp_path, "x", ["a1", "a2", "a3", "b1", "b2", "b3"])
    assert StatusReader(record).read().seconds_left is None
    finish(tmp_path, "a1", seconds=10.0)
    assert StatusReader(record).read().seconds_left is None  # nothing runs
    progress(tmp_path, "b1", 0.25, 10.0)  # 40 s in all, 30 of them to come
    progress(tmp_path, "a2", 0.5, 5.0)  # 5 s to come
    # waiting: a3 10 s, b2 and b3 40 s each
    assert StatusReader(record).read().seconds_left == pytest.approx((30 + 5 + 10 + 40 + 40) / 2)


def test_a_reader_sees_what_changes(tmp_path):
    record = study(tmp_path, "x", ["a1", "a2"])
    reader = StatusReader(record)
    finish(tmp_path, "a1", diverged=True)
    assert (reader.read().runs.finished, reader.read().runs.diverged) == (1, 1)
    finish(tmp_path, "a2")
    assert (reader.read().runs.finished, reader.read().runs.diverged, reader.read().settled) == (
        2,
        1,
        True,
    )


@pytest.mark.slow
def test_ten_thousand_runs_are_told_in_three_seconds(tmp_path):
    keys = [f"a{i:05}" for i in range(10_000)]
    record = study(tmp_path, "x", keys)
    metrics = {f"m{i}": 1.0 for i in range(20)}
    content = asdict(replace(result(1.0), metrics=metrics))
    write_sealed(tmp_path / "result.json", content)
    text = (tmp_path / "result.json").read_bytes()
    for key in keys[:9_000]:
        run(tmp_path, key)
        (tmp_path / "runs" / key / "result.json").write_bytes(text)
    start = time.process_time()
    assert StatusReader(record).read().runs.finished == 9_000
    assert time.process_time() - start < 3


def test_cancel_asks_what_is_unfinished_and_retry_takes_it_back(tmp_path):
    study(tmp_path, "x", ["a1", "a2", "a3", "a4"], trials=["t1"])
    home = make_home(tmp_path)
    finish(tmp_path, "a1")
    progress(tmp_path, "a2", 0.5, 1.0)
    run(tmp_path, "a3").fail("died")
    Record(tmp_path, "t1").stop.request("worse", "pruned")
    keys = find_target(home, "x", None).keys
    assert set(keys) == {"a1", "a2", "a3", "a4", "t1"}
    assert cancel(home, keys) == (1, 1)
    assert [Record(tmp_path, key).stop.requested for key in ("a1", "a2", "a3", "a4")] == [
        False,
        True,
        False,
        True,
    ]
    assert retry(home, keys) == 3
    assert not any(
        Record(tmp_path, key).stop.requested or Record(tmp_path, key).failure
        for key in ("a2", "a3", "a4")
    )
    assert Record(tmp_path, "t1").stop.pruned
    assert retry(home, keys) == 0


def test_targets(tmp_path):
    home = make_home(tmp_path)
    with pytest.raises(UserError, match="no study has been run"):
        find_target(home, "x", None)
    study(tmp_path, "flagship", ["abc1", "abd1"])
    study(tmp_path, "abc", ["abd1"])
    assert find_target(home, "abc", None).study is not None  # a study before a run
    assert find_target(home, "abc1", None).keys == ("abc1",)  # listed, not begun
    with pytest.raises(UserError, match="begins the keys of 2 runs"):
        find_target(home, "ab", None)
    with pytest.raises(UserError, match="did you mean 'flagship'"):
        find_target(home, "flagshp", None)
    with pytest.raises(UserError, match="no study named 'abc@smoke'"):
        find_target(home, "abc", "smoke")
    with pytest.raises(UserError, match="known: abc, flagship"):
        find_target(home, "", None)


def test_removing_a_study_leaves_what_others_list(tmp_path):
    home = make_home(tmp_path)
    study(tmp_path, "x", ["a1", "a2"])
    study(tmp_path, "x", ["a3", "a4"], trials=["t1"], revision="r2")
    study(tmp_path, "y", ["a2"])
    for key in ("a1", "a2", "a3", "t1"):
        finish(tmp_path, key)
    (tmp_path / "reports" / "x").mkdir(parents=True)
    (tmp_path / "reports" / "x" / "r1.html").write_text("x" * 1000)
    targets = [find_target(home, "x", None)]
    removal = plan_removal(home, targets)
    assert (removal.studies, removal.runs, removal.shared_runs, removal.affected_studies) == (
        ("x",),
        ("a1", "a3", "t1"),
        1,
        (),
    )
    sizes = [p.stat().st_size for key in removal.runs for p in (tmp_path / "runs" / key).iterdir()]
    records = [p.stat().st_size for p in (tmp_path / "studies" / "x").iterdir()]
    assert removal.size == sum(sizes) + sum(records) + 1000
    remove(home, targets, removal)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["a2"]
    assert not (tmp_path / "reports" / "x").exists()
    assert records_of(home, "y", None)[-1].read().parts[0].runs
    both = plan_removal(home, [find_target(home, "y", None)])
    assert both.runs == ("a2",)


def test_a_study_of_another_version_is_listed_and_removed_with_what_no_other_lists(
    tmp_path, capsys
):
    home = make_home(tmp_path)
    study(tmp_path, "x", ["a1"])
    odd = study(tmp_path, "y", ["a1", "a2"], trials=["t1"])
    content = json.loads(odd.path.read_text())
    del content["seal"]
    write_sealed(odd.path, {**content, "version": 99, "study": {}})
    for key in ("a1", "a2", "t1"):
        finish(tmp_path, key)
    list_studies(as_json=True, home=tmp_path)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["study"], first["runs"], first["question"]) == ("x", 1, "Does it help?")
    assert (second["study"], second["runs"], second["finished"]) == ("y", 3, 3)
    assert "recorded by another version of ablab" in second["question"]
    assert set(find_target(home, "y", None).keys) == {"a1", "a2", "t1"}
    removal = plan_removal(home, [find_target(home, "x", None)])
    assert (removal.studies, removal.runs, removal.shared_runs) == (("x",), (), 1)
    removal = plan_removal(home, [find_target(home, "y", None)])
    assert (removal.studies, removal.runs, removal.shared_runs) == (("y",), ("a2", "t1"), 1)


def test_removing_a_run_says_who_wants_it_and_waits_for_its_training_to_end(tmp_path):
    home = make_home(tmp_path)
    study(tmp_path, "x", ["a1", "a2"])
    finish(tmp_path, "a1")
    removal = plan_removal(home, [find_target(home, "a1", None)])
    assert (removal.studies, removal.runs, removal.affected_studies) == ((), ("a1",), ("x",))
    progress(tmp_path, "a2", 0.5, 1.0)
    for name in ("a2", "x"):
        owner = f"a2 is being trained by process {os.getpid()} on .*"
        with pytest.raises(UserError, match=f"{owner}: `ablab cancel {name}` first"):
            plan_removal(home, [find_target(home, name, None)])
    assert (tmp_path / "runs" / "a1" / "result.json").exists()
