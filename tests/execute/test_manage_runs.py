"""Removing: nothing goes beneath a driver or a worker, and nothing but what was measured."""

import multiprocessing
import os
import shutil
import socket
from threading import Event, Thread

import pytest

from ablab.errors import UserError
from ablab.execute import manage as care
from ablab.execute.manage import find_target, plan_removal, remove
from ablab.execute.session import Request, Session, planned
from ablab.records.driver_lock import drivers, hold_driver_lease, no_driver_begins
from ablab.records.home import make_home
from ablab.records.run_record import Record, run_keys
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, StandIn


@pytest.fixture
def home(tmp_path, study_text):
    """A home with a study of sixteen runs that are done."""
    (tmp_path / "x.yaml").write_text(study_text)
    place = make_home(tmp_path / "home")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), place.root), place, Silent()
    )
    session.trackers = Trackers([])
    session.run(lambda context: StandIn(place.root, lambda spec: 3.0))
    return place


def targets(home, *names):
    return [find_target(home, name, None) for name in names]


def files(home):
    return sorted(
        path
        for path in home.root.rglob("*")
        if path.name != ".lease.lock" and "drivers" not in path.parts
    )


def test_nothing_is_removed_beneath_a_driver_that_trains_nothing_now(home):
    before, key = files(home), run_keys(home.root)[0]
    with hold_driver_lease(home, "x"), hold_driver_lease(home, "x"):
        for name in ("x", key):
            told = f"study x is being run by process {os.getpid()} on {socket.gethostname()}"
            with pytest.raises(UserError, match=told):
                plan_removal(home, targets(home, name))
    assert files(home) == before
    with hold_driver_lease(home, "another"):
        remove(home, asked := targets(home, "x"), plan_removal(home, asked))
    assert run_keys(home.root) == []


def test_a_driver_that_begins_after_the_question_keeps_everything(home):
    before, asked = files(home), targets(home, "x")
    removal = plan_removal(home, asked)
    with hold_driver_lease(home, "x"), pytest.raises(UserError, match="being run by"):
        remove(home, asked, removal)
    assert files(home) == before


def test_what_another_study_lists_by_now_stays(home):
    asked = targets(home, "x")
    removal = plan_removal(home, asked)
    shutil.copytree(home.root / "studies" / "x", home.root / "studies" / "y")
    before = files(home)
    with pytest.raises(UserError, match="`ablab rm` again"):
        remove(home, asked, removal)
    assert files(home) == before


def test_a_run_that_is_taken_up_at_the_last_moment_stays(home, monkeypatch):
    asked = targets(home, "x")
    removal = plan_removal(home, asked)
    monkeypatch.setattr(care, "plan_removal", lambda home, targets: removal)
    key = removal.runs[0]
    assert Record(home.root, key).lease().acquire()
    with pytest.raises(UserError, match=f"run {key} is being trained by process {os.getpid()}"):
        remove(home, asked, removal)
    assert Record(home.root, key).finished


def test_a_driver_begins_after_a_removal(home):
    begun = Event()

    def drive():
        with hold_driver_lease(home, "x"):
            begun.set()

    with no_driver_begins(home):
        (thread := Thread(target=drive)).start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    thread.join()
    assert drivers(home, ["x"]) == []


def die_driving(home):
    with hold_driver_lease(home, "x"):
        os._exit(9)


def test_a_driver_that_died_is_in_nobodys_way(home):
    child = multiprocessing.get_context("fork").Process(target=die_driving, args=[home])
    child.start()
    child.join()
    folder = home.root / "drivers"
    assert len(list(folder.glob("*.json"))) == 1
    assert plan_removal(home, targets(home, "x")).studies == ("x",)
    with hold_driver_lease(home, "x"):
        assert len(list(folder.glob("*.json"))) == 1
    assert not list(folder.glob("*.json"))
