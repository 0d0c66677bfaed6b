"""A home that another user made: who may not write in it is told so, and nothing is lost."""

import json
import os
import shutil
import subprocess

import pytest

from ablab.execute.session import Request, Session, planned
from ablab.records.driver_lock import hold_driver_lease
from ablab.records.home import make_home
from ablab.tracking.trackers import Trackers
from tests.conftest import command, environment
from tests.standin import Silent, StandIn

# Root may write everywhere, unless it gives that up.
CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
UNPRIVILEGED = ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES]
pytestmark = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write everywhere"
)


@pytest.fixture
def theirs(tmp_path, study_text):
    """A home with a study whose first run is not done, and a command line of a user who may only
    read it.
    """
    (tmp_path / "x.yaml").write_text(
        study_text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
    )
    home = make_home(tmp_path / "home")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
    )
    session.trackers = Trackers([])
    with hold_driver_lease(home, "x"):
        session.run(lambda context: StandIn(home.root, lambda spec: 3.0))
    folder = min((tmp_path / "home" / "runs").iterdir())
    (folder / "result.json").unlink()
    prefix = UNPRIVILEGED if os.geteuid() == 0 else []

    def unprivileged(*arguments):
        line = [*prefix, *command(*arguments, "--home", "home")]
        return subprocess.run(
            line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )

    return folder, unprivileged


def files(home):
    return sorted(str(path) for path in home.rglob("*") if "drivers" not in path.parts)


def lock(*folders):
    for folder in folders:
        folder.chmod(0o555)
    return folders


@pytest.mark.slow
def test_who_may_not_write_a_home_reads_it_and_is_told_why_nothing_else_goes(theirs, tmp_path):
    folder, unprivileged = theirs
    (folder / "failure.json").write_text(json.dumps({"reason": "no", "detail": "", "time": 0.0}))
    home = tmp_path / "home"
    before = files(home)
    locked = lock(*(path for path in (home, *home.rglob("*")) if path.is_dir()))
    try:
        told = {
            name: unprivileged(name, *more)
            for name, more in {
                "run": ["x.yaml"],
                "rm": ["x", "--yes"],
                "retry": ["x"],
                "status": ["x"],
                "plan": ["x.yaml"],
            }.items()
        }
    finally:
        for path in locked:
            path.chmod(0o755)
    assert (
        "ablab: you may not write in home: all users of a shared home need permission"
        in told["run"].stderr
    )
    assert "ablab: you may not write in home/runs/" in told["rm"].stderr
    assert (
        told["retry"].stderr
        == f"ablab: {folder.relative_to(tmp_path)}/failure.json: permission denied\n"
    )
    assert {name: result.returncode for name, result in told.items()} == {
        "run": 2,
        "rm": 2,
        "retry": 2,
        "status": 0,
        "plan": 0,
    }
    assert not any("Traceback" in result.stderr for result in told.values())
    assert files(home) == before


@pytest.mark.slow
@pytest.mark.parametrize("which", ["run", "study"])
def test_what_another_user_alone_may_write_is_named_before_anything_begins(theirs, tmp_path, which):
    folder, unprivileged = theirs
    home = tmp_path / "home"
    (locked,) = lock(folder if which == "run" else home / "studies" / "x")
    before = files(home)
    try:
        for arguments in (("run", "x.yaml"), ("rm", "x", "--yes")):
            result = unprivileged(*arguments)
            assert result.returncode == 2
            assert (
                f"ablab: you may not write in {locked.relative_to(tmp_path)}: all users of a shared"
                in result.stderr
            )
    finally:
        locked.chmod(0o755)
    assert files(home) == before
