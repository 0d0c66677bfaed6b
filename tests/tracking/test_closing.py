"""How long an execution waits for its trackers at its end."""

import socket
import time
from threading import Event

import pytest

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.tracking.trackers import Trackers, closing_seconds
from tests.standin import Silent, StandIn

BEHIND = (
    "the trackers did not catch up in time: what they lack stays in the records, and `ablab sync` "
    "sends it, or the next `ablab run`"
)


class Slow:
    """A tracker that takes its time for every call."""

    def __init__(self, seconds):
        self.seconds, self.end = seconds, Event()

    def close(self, files, *, complete, summary=None):
        self.end.wait(self.seconds)
        return True

    def __getattr__(self, name):
        return lambda *arguments: self.end.wait(self.seconds)


def test_a_slow_tracker_is_waited_for_up_to_a_bound_and_said():
    slow, said = Slow(60), []
    trackers = Trackers([slow], said.append, closing_seconds=0.3)
    trackers.open(None)
    for _ in range(20):
        trackers.started(None)
    begun = time.monotonic()
    assert not trackers.close([], complete=True)
    assert time.monotonic() - begun < 5
    assert said == ["waiting for the trackers, at most 0.3 s", BEHIND]
    slow.end.set()


def test_trackers_in_time_are_waited_for_in_silence():
    said = []
    trackers = Trackers([Slow(0.01)], said.append, closing_seconds=30)
    trackers.open(None)
    assert trackers.close([], complete=True)
    assert said == []


def test_files_on_this_machine_are_given_more_time_than_a_server():
    local = closing_seconds(["sqlite:////home/mlflow/mlflow.db", "/home/optuna/x.log"])
    for servers in (["http://h", "/x.log"], ["sqlite:///x.db", "postgresql+psycopg://me@h/db"]):
        assert closing_seconds(servers) < 60 < local


@pytest.mark.filterwarnings("ignore")
@pytest.mark.system
def test_a_study_does_not_wait_for_a_server_that_hangs(tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text.replace("seeds: 2", "seeds: 1"))
    with socket.socket() as server:  # takes connections and never answers
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        uri = f"tracking.uri=http://127.0.0.1:{server.getsockname()[1]}"
        home = make_home(tmp_path / "home")
        plan = planned(Request(tmp_path / "x.yaml", None, (uri,), ()), home.root)
        display = Silent()
        session = Session(plan, home, display)
        session.trackers.closing_seconds = 1.0
        summary = session.run(lambda context: StandIn(home.root, lambda spec: 3.0))
        assert summary.trained == len(plan.plan.runs)
        begun = time.monotonic()
        session.close([], complete=True)
        assert time.monotonic() - begun < 10
    assert display.said[-1] == BEHIND
    assert session.record.mirrored is None  # so that the next `ablab run` sends it
