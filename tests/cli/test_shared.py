"""Studies whose runs follow from trials, carried out by two drivers on one home: what one driver
alone would come to.
"""

import json
import os
import re
import signal
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from threading import Event

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from ablab.execute.session import Request, Session, planned
from ablab.execute.worker import Worker
from ablab.records.home import make_home
from ablab.tracking.trackers import Trackers
from tests.conftest import results
from tests.processes import start as driver
from tests.processes import until
from tests.standin import Silent
from tests.tracking.stores import check_whole, shown

# Optuna's own warnings, where the store is read in this process.
pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore")]

COMPARE = "design: {kind: compare}\nto: llama\n"
TUNED = COMPARE + "tune: {lr: {low: 1.0e-4, high: 1.0e-2}, trials: 4, share: 1.0}\n"
SAMPLED = COMPARE + "tune: {lr: {low: 1.0e-4, high: 1.0e-2}, clip: [1.0], trials: 11, share: 1.0}\n"
PRUNED = (
    COMPARE + "tune: {lr: [3.0, 1.0e-3, 3.0e-3], clip: [1.0], trials: 3, share: 1.0, prune: asha}\n"
)
SEARCHED = """\
design:
  kind: search
  changes: [rmsnorm, swiglu]
  factors: {position: [learned, rope, alibi]}
  trials: 11
  at_once: 4
  confirm: 2
"""


class Here(Worker):
    """A worker, and an executor that trains where it is asked: one driver's study without the start
    of a process.
    """

    slots = 1

    def _watch(self):
        """It has no driver to outlive."""

    def submit(self, spec):
        future = Future()
        future.set_result(self.train(spec))
        return future

    def waits(self, future):
        return False

    def stop(self):
        """Nothing is ever under way."""

    kill = close = stop


@pytest.fixture
def study(tmp_path, study_text):
    """Writes a study with this design, and gives its file."""

    def write(design):
        text = study_text.replace("to: llama\n", "").replace(
            "design: {kind: leave_one_out}\n", design
        )
        (tmp_path / "x.yaml").write_text(text)
        return tmp_path / "x.yaml"

    return write


@pytest.fixture
def start(tmp_path):
    """Starts a driver with one worker on a core of its own, so that all numbers come from one
    thread.
    """
    cores, begun = sorted(os.sched_getaffinity(0)), []

    def one():
        os.sched_setaffinity(0, {cores[len(begun) % len(cores)]})  # for what is started from here
        begun.append(driver("run", "x.yaml", "--home", "home", cwd=tmp_path))
        os.sched_setaffinity(0, cores)
        return begun[-1]

    yield one
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def alone(file):
    """What one driver comes to: its home."""
    home = make_home(file.parent / "alone")
    session = Session(planned(Request(file, None, (), ()), home.root), home, Silent())
    session.trackers = Trackers([])
    session.run(lambda context: Here(context, Event()))
    return home.root


def record(home):
    """The study as it was decided."""
    (file,) = home.glob("studies/x/*.json")
    (part,) = json.loads(file.read_text())["parts"]
    return {name: part[name] for name in ("arms", "runs", "trials", "shared", "contrasts", "notes")}


def trained(home):
    (executions,) = home.glob("studies/x/*.executions")
    return [json.loads(line)["trained"] for line in executions.read_text().splitlines()]


def reported(output):
    """The report that a driver printed, but for how long it took."""
    report = output[output.index("x (revision ") :]
    report = re.sub(r"^\d+ runs, .*? validation$", "", report, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^time: .*? other$", "", report, flags=re.MULTILINE | re.DOTALL).splitlines()


def in_optuna(home):
    """How often each run stands there, by run and state."""
    storage = JournalStorage(JournalFileBackend(str(home / "optuna" / "x.journal")))
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(storage=storage, study_name=name).get_trials()
    return Counter((trial.user_attrs["run"], trial.state.name) for trial in trials)


def in_mlflow(home):
    return shown(f"sqlite:///{home}/mlflow/mlflow.db")


@pytest.mark.parametrize(
    "design",
    [
        pytest.param(TUNED, id="tuned"),
        pytest.param(SAMPLED, id="sampled", marks=pytest.mark.soak),
        pytest.param(SEARCHED, id="searched"),
    ],
)
def test_two_drivers_share_a_study_and_come_to_what_one_comes_to(study, start, tmp_path, design):
    file, home = study(design), tmp_path / "home"
    both = [start() for _ in range(2)]
    expected = alone(file)
    outputs = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert results(home) == results(expected)
    assert record(home) == record(expected)
    assert sum(trained(home)) == sum(trained(expected)) == len(results(home))
    assert reported(outputs[0]) == reported(outputs[1])
    assert in_optuna(home) == {(key, "COMPLETE"): 1 for key in results(home)}
    check_whole(in_mlflow(home), home)
    assert not [*home.glob("runs/*/lease.json"), *home.glob("drivers/*.json")]


def test_where_one_of_two_drivers_is_killed_the_other_ends_the_study(study, start, tmp_path):
    file, home = study(PRUNED), tmp_path / "home"
    file.write_text(
        file.read_text().replace("[0.5]", "[0.2, 0.4, 0.8]").replace("steps: 4", "steps: 40")
    )
    victim, other = (start() for _ in range(2))
    until(lambda: len(list(home.glob("runs/*/result.json"))) >= 3)
    os.killpg(victim.pid, signal.SIGKILL)
    output, _ = other.communicate(timeout=200)
    assert other.returncode == 0, output
    decided = record(home)
    assert (len(decided["trials"]), len(decided["runs"])) == (6, 4)
    alike = (decided["shared"] or {"runs": []})["runs"]  # with one recipe for all
    keys = {run["key"] for run in (*decided["trials"], *decided["runs"], *alike)}
    assert sorted(key for key, _ in in_optuna(home)) == sorted(keys)
    assert set(in_optuna(home).values()) == {1}
    found = in_mlflow(home)
    for key in results(home):
        assert len(found.children[key].outputs.model_outputs) == 1
        # A figure that was measured again stands as it was first.
        assert set(
            Counter((name, step) for name, step, _ in found.history[key].elements()).values()
        ) == {1}
    assert not list(home.glob("runs/*/lease.json"))
    place = make_home(home)
    assert Session(planned(Request(file, None, (), ()), home), place, Silent()).missing == 0
