"""A study whose record an earlier version of ablab wrote, run again by this one."""

import json

import pytest

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.sealed import read_sealed, write_sealed
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, StandIn


@pytest.fixture
def session(tmp_path, study_text):
    """A new session of a comparison in the same home."""
    (tmp_path / "x.yaml").write_text(study_text.replace("leave_one_out", "compare"))
    home = make_home(tmp_path / "home")

    def begin():
        request = Request(tmp_path / "x.yaml", None, (), ())
        made = Session(planned(request, home.root), home, Silent())
        made.trackers = Trackers([])
        return made

    return begin


def carry_out(session):
    executor = StandIn(session.home.root, lambda spec: 3.0)
    session.run(lambda context: executor)
    return executor.trained


@pytest.mark.parametrize("same_keys", [True, False])
def test_that_runs_are_trained_again_is_told_only_where_they_are(session, same_keys):
    first = session()
    trained = carry_out(first)
    path = first.record.path
    content = read_sealed(path, first.home.root)
    assert content is not None
    text = json.dumps({**content, "version": 1})
    for spec in trained:
        text = text if same_keys else text.replace(spec.key, spec.key[::-1])
    write_sealed(path, json.loads(text))
    lost = trained[:1] if same_keys else trained
    for spec in lost:
        (first.home.root / "runs" / spec.key / "result.json").unlink()
    again = session()
    assert [spec.key for spec in carry_out(again)] == [spec.key for spec in lost]
    notice = [line for line in again.display.said if "earlier version of ablab" in line]
    assert len(notice) == (not same_keys)
