"""Leases: who holds one, whatever clocks and process tables show, and what a loser writes."""

import json
import multiprocessing
import os
import shutil
import socket
import threading
import time

import psutil
import pytest
import torch

from ablab.fence import fenced
from ablab.files import write_atomically, write_json
from ablab.records import lease as lease_module
from ablab.records.lease import BEAT_SECONDS, STALE_SECONDS, Judgement, Lease, LeaseLost
from ablab.records.run_record import Record
from ablab.records.system import THIS_SYSTEM, System
from ablab.train.checkpoints import save_checkpoint
from ablab.train.file_names import WINDOW_SCORES
from ablab.train.window_scores import WindowScores
from tests.records.simulated import Seat, Sleeping, World
from tests.standin import result

MINUTES = 600.0


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path, "abc123")
    made.folder.mkdir(parents=True)
    return made


@pytest.fixture
def no_doubt(monkeypatch):
    """Give up a heartbeat that looks old at once."""
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.0)


@pytest.fixture
def world():
    return World()


def at(record, seat):
    """The lease of the run as a simulated process sees it."""
    return Lease(record.folder / "lease.json", seat)


def taken(lease):
    """Whether the lease could be had now."""
    try:
        return lease.acquire()
    except Sleeping:
        return False


def beating(world, lease, seconds, step=1.0):
    """Let time pass, with heartbeats."""
    for _ in range(int(seconds / step)):
        world.wait(step)
        if world.seconds % BEAT_SECONDS < step:
            lease.beat()


def test_a_lease_is_held_once(record):
    first, second = record.lease(), record.lease()
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()


def test_a_lease_of_a_dead_process_is_taken_over(record):
    child = multiprocessing.get_context("fork").Process(target=lambda: record.lease().acquire())
    child.start()
    child.join()
    assert record.lease().path.exists()
    assert not record.lease().held()
    assert record.lease().acquire()
    assert json.loads(record.lease().path.read_text())["pid"] == os.getpid()


def test_a_lease_elsewhere_lasts_as_long_as_its_heart_beats(record):
    lease = record.lease()
    lease.path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert lease.held()
    old = time.time() - STALE_SECONDS - 1
    os.utime(lease.path, (old, old))
    assert not lease.held()


def test_an_unreadable_lease_is_stale_after_a_while(record, no_doubt):
    lease = record.lease()
    lease.path.write_text("")
    assert lease.held()
    old = time.time() - STALE_SECONDS - 1
    os.utime(lease.path, (old, old))
    assert lease.acquire()


def test_a_lease_that_was_taken_over_is_neither_kept_alive_nor_given_back(record, no_doubt):
    first, second = record.lease(), record.lease()
    assert first.acquire()
    first.path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    old = time.time() - STALE_SECONDS - 1
    os.utime(first.path, (old, old))
    assert second.acquire()
    os.utime(second.path, (old, old))
    first.beat()
    assert second.path.stat().st_mtime == pytest.approx(old)
    first.release()
    assert second.path.exists()


def test_a_zombie_holds_no_lease(record):
    child = multiprocessing.get_context("fork").Process(target=lambda: record.lease().acquire())
    child.start()
    end = time.monotonic() + 10
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not record.lease().held()
    child.join()


def test_a_stale_lease_is_cleared_and_a_live_one_is_not(record, no_doubt):
    lease = record.lease()
    assert lease.acquire()
    record.lease().clear()
    assert lease.path.exists()
    lease.path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    os.utime(lease.path, (0, 0))
    lease.clear()
    assert not lease.path.exists()


def test_a_lease_whose_folder_goes_while_it_is_taken_is_not_held(record, monkeypatch):
    lease = record.lease()
    monkeypatch.setattr(Lease, "judge", lambda self: shutil.rmtree(record.folder))
    assert not lease.acquire()


def test_a_process_that_is_hidden_from_us_lives_as_long_as_its_heart_beats(record, monkeypatch):
    """Where /proc shows other users' processes to nobody (hidepid), only a signal tells that there
    is one.
    """
    lease = record.lease()
    nobody = {**THIS_SYSTEM.me.as_dict(), "pid": 2**22 + 1}  # more than Linux allows
    lease.path.write_text(json.dumps({"host": socket.gethostname(), **nobody}))

    def forbidden(pid, number):
        raise PermissionError

    assert not lease.held()
    monkeypatch.setattr(os, "kill", forbidden)
    assert lease.held()
    os.utime(lease.path, (0, 0))
    assert not lease.held()


def test_a_live_process_of_another_user_holds_its_lease(record, monkeypatch):
    def forbidden(pid, number):
        raise PermissionError

    lease = record.lease()
    assert lease.acquire()
    os.utime(lease.path, (0, 0))
    monkeypatch.setattr(os, "kill", forbidden)
    assert lease.held()


def test_a_lease_that_we_may_not_write_is_waited_for_while_it_is_held(record, monkeypatch):
    holder = record.lease()
    assert holder.acquire()

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(lease_module, "locked", forbidden)
    assert not record.lease().acquire()
    holder.path.unlink()
    with pytest.raises(PermissionError):
        record.lease().acquire()


@pytest.mark.parametrize(
    "other",
    [{"namespace": "pid:[2]"}, {"boot": "c"}],
    ids=["another PID namespace", "another machine"],
)
def test_an_owner_that_cannot_be_seen_keeps_its_lease_while_its_heart_beats(record, world, other):
    """Also where the host name and the process ids are the same, as in containers."""
    owner, rival = at(record, Seat(world, 7)), at(record, Seat(world, 7, **other))
    assert owner.acquire()
    for _ in range(5):
        beating(world, owner, 60)
        assert rival.held()
        assert not taken(rival)
    world.wait(STALE_SECONDS + 1)
    late = at(record, Seat(world, 8, **other))
    assert not taken(late)  # it looks old, and is watched first
    world.wait(2 * BEAT_SECONDS + 2)
    assert taken(late)


@pytest.mark.parametrize("step", [MINUTES, -MINUTES], ids=["forward", "backward"])
def test_a_stepped_clock_takes_no_lease_from_an_owner_whose_heart_beats(record, world, step):
    owner, rival = at(record, Seat(world, 7)), at(record, Seat(world, 7, "pid:[2]"))
    assert owner.acquire()
    for _ in range(5):
        beating(world, owner, 60)
        world.file_clock += step
        assert not taken(rival)
        beating(world, owner, 30)
        assert not taken(rival)
        assert rival.held()


@pytest.mark.parametrize("step", [MINUTES, -MINUTES], ids=["forward", "backward"])
def test_a_stepped_clock_keeps_no_lease_of_a_dead_owner(record, world, step):
    owner, rival = at(record, Seat(world, 7)), at(record, Seat(world, 7, "pid:[2]"))
    assert owner.acquire()
    world.file_clock += step
    assert not taken(rival)
    world.wait(STALE_SECONDS)
    assert taken(rival)


@pytest.mark.parametrize("skew", [MINUTES, -MINUTES])
def test_clocks_that_disagree_neither_take_a_lease_nor_keep_it(record, world, skew):
    owner = at(record, Seat(world, 7))
    assert owner.acquire()
    rival = at(record, Seat(world, 7, boot="c", skew=skew))
    beating(world, owner, 60)
    assert rival.held()
    world.wait(STALE_SECONDS)
    assert not rival.held()


@pytest.mark.parametrize("step", [MINUTES, -MINUTES])
def test_a_stepped_clock_does_not_hide_a_live_process(record, monkeypatch, step):
    """psutil's creation times move with the clock."""
    lease = record.lease()
    assert lease.acquire()
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + step)
    os.utime(lease.path, (time.time() - step,) * 2)
    assert lease.held()
    assert not record.lease().acquire()


class Elsewhere(System):
    """The real clocks and process table, as seen from another PID namespace."""

    def is_alive(self, process):
        return None


@pytest.mark.parametrize("step", [MINUTES, -MINUTES])
def test_a_real_heartbeat_survives_a_step_of_its_modification_time(record, monkeypatch, step):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease_module, "DOUBT_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "_POLL_SECONDS", 0.02)
    lease = record.lease()
    rival = Lease(lease.path, Elsewhere())
    assert lease.acquire()
    with lease.keep_alive():
        os.utime(lease.path, (time.time() + step,) * 2)
        assert not rival.acquire()
        assert rival.held()


def test_a_lease_of_an_earlier_version_is_read_by_its_heartbeat(record, no_doubt):
    lease = record.lease()
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0, "nonce": "n"}
    lease.path.write_text(json.dumps(owner))
    assert lease.held()
    assert lease.holder == f"process {os.getpid()} on {socket.gethostname()}"
    old = time.time() - STALE_SECONDS - 1
    os.utime(lease.path, (old, old))
    assert lease.acquire()


def test_a_seat_in_another_proc_sees_nobody(record, monkeypatch):
    """`unshare --pid` without a new /proc shows the processes of another namespace there."""
    lease = record.lease()
    assert lease.acquire()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert lease.judge() is Judgement.HELD  # by its heartbeat
    os.utime(lease.path, (0, 0))
    assert lease.judge() is Judgement.DOUBTFUL


def test_tokens_grow_with_each_acquisition_and_survive_release(record):
    tokens = []
    for _ in range(3):
        lease = record.lease()
        assert lease.acquire()
        tokens.append(lease.owner["token"])
        lease.release()
        assert not lease.path.exists()
    assert tokens == [1, 2, 3]


def publish_checkpoint(record):
    content = {"global_step": 1, "x": torch.ones(1)}
    save_checkpoint(content, record.folder / "checkpoint.ckpt", rows=0)


def publish_windows(record):
    ones = torch.ones(2).numpy()
    WindowScores(ones, ones, ones, ones).write(record.folder / WINDOW_SCORES)


WRITES = {
    "metrics": lambda record: record.metrics.append(3, {"train/loss": 1.0}),
    "rows dropped": lambda record: record.metrics.truncate(0),
    "attempts": lambda record: record.attempts.add("no"),
    "result": lambda record: record.finish(result(2.0)),
    "failure": lambda record: record.fail("no"),
    "micro-batch": lambda record: record.note_micro_batch(2),
    "progress": lambda record: write_json(record.folder / "progress.json", {}, sync=False),
    "weights": lambda record: write_atomically(
        record.folder / "model.safetensors", lambda file: file.write(b"w")
    ),
    "checkpoint": publish_checkpoint,
    "windows": publish_windows,
}


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "lease.json"}


@pytest.mark.parametrize("write", WRITES)
def test_who_lost_the_lease_writes_nothing_more(record, world, write):
    loser, winner = at(record, Seat(world, 7)), at(record, Seat(world, 7, "pid:[2]"))
    assert loser.acquire()
    with fenced(record.folder, loser.fence):
        record.metrics.append(1, {"train/loss": 5.0})
        WRITES[write](record)  # while it is held, all is written
        for file in record.folder.glob("[!.]*.*"):
            file.unlink(missing_ok=file.name == "lease.json")
        loser.release()
        assert winner.acquire()
        record_of_winner = Record(record.folder.parents[1], record.key)
        with fenced(record.folder, winner.fence):
            record_of_winner.metrics.append(1, {"train/loss": 4.0})
        before = content(record.folder)
        with pytest.raises(LeaseLost, match="taken over by process 7"):
            WRITES[write](record)
        assert content(record.folder) == before
        winner.release()
        with pytest.raises(LeaseLost, match="was released"):
            WRITES[write](record)
        assert content(record.folder) == before


def test_a_lease_whose_folder_was_removed_is_lost(record):
    lease = record.lease()
    assert lease.acquire()
    with fenced(record.folder, lease.fence):
        shutil.rmtree(record.folder)
        with pytest.raises(LeaseLost, match="was removed"):
            record.metrics.append(1, {"train/loss": 1.0})
    assert not record.folder.exists()


def test_processes_that_share_a_run_write_under_the_lease_of_their_worker(record):
    lease = record.lease()
    assert lease.acquire()
    with fenced(record.folder, record.lease(lease.nonce).fence):
        record.metrics.append(1, {"train/loss": 1.0})
    with fenced(record.folder, record.lease("another").fence), pytest.raises(LeaseLost):
        record.metrics.append(2, {"train/loss": 1.0})


def test_a_write_is_complete_before_the_lease_changes_hands(record, world, monkeypatch):
    """A rival cannot take the lease between the check and the write."""
    owner, rival = at(record, Seat(world, 7)), at(record, Seat(world, 7, "pid:[2]"))
    assert owner.acquire()
    world.wait(2 * STALE_SECONDS)
    assert not taken(rival)
    world.wait(STALE_SECONDS)  # from now on, it can be taken over at any moment
    replace, attempt = os.replace, threading.Thread(target=rival.acquire)

    def late(source, target):
        patch.undo()
        attempt.start()
        time.sleep(0.2)
        assert owner.owner["nonce"] == owner.nonce  # the rival waits for the lock
        replace(source, target)

    with fenced(record.folder, owner.fence):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", late)
            write_json(record.folder / "progress.json", {"share": 1.0}, sync=False)
        attempt.join()
        assert owner.owner["nonce"] == rival.nonce
        with pytest.raises(LeaseLost):
            write_json(record.folder / "progress.json", {"share": 2.0}, sync=False)
    assert record.progress == {"share": 1.0}
