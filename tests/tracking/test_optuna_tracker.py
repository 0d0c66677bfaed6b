"""Optuna's view of a study: whole, rebuilt from the records, in a journal and in a real
PostgreSQL.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.study_record import StudyRecord
from ablab.tracking.mlflow.tracker import MlflowTracker
from ablab.tracking.optuna.study import Outcome
from ablab.tracking.optuna.tracker import OptunaTracker
from ablab.tracking.optuna.trial_store import TrialStore
from ablab.train.result import RunResult
from tests import postgres
from tests.standin import Silent, StandIn, result

PASSWORD = "not-to-be-seen-1234"
TUNE = "tune: {lr: {low: 1.0e-4, high: 1.0e-2}, trials: 3}\n"

# Optuna's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = pytest.mark.filterwarnings("ignore")


def response(spec):
    if spec.recipe["lr"] > 5e-3:
        return replace(result(9.0), diverged=True)
    return 3.0 - 0.3 * ("rope" in dict(spec.plugins)) + 0.01 * spec.seed % 1


@pytest.fixture
def carry_out(tmp_path, study_text):
    def call(extra="", home="home"):
        file = tmp_path / "x.yaml"
        file.write_text(study_text + extra)
        place = make_home(tmp_path / home)
        session = Session(
            planned(Request(file, None, (), ()), place.root), place, display := Silent()
        )
        session.trackers.closing_seconds = 300.0  # stand-in runs take no time: all is behind
        session.run(lambda context: StandIn(place.root, response))
        session.close([], complete=True)
        return session, display

    return call


def journal(path):
    return JournalStorage(JournalFileBackend(str(path)))


def load(path, session):
    return optuna.load_study(storage=journal(path), study_name=f"x/{session.record.revision}")


def check_shared(address, session):
    storage = optuna.storages.RDBStorage(address)
    check(optuna.load_study(storage=storage, study_name=f"x/{session.record.revision}"), session)
    storage.remove_session()
    storage.engine.dispose()


def check(study, session):
    plan = session.planned.plan
    trials = study.get_trials(deepcopy=False)
    assert sorted(t.user_attrs["run"] for t in trials) == sorted(plan.unique)
    by_key = {t.user_attrs["run"]: t for t in trials}
    for key, spec in plan.unique.items():
        trial = by_key[key]
        given = response(spec)
        if isinstance(given, RunResult):
            assert trial.state is optuna.trial.TrialState.FAIL
        else:
            assert trial.values == [given]
        assert trial.params["plugin.rope"] == ("on" if "rope" in dict(spec.plugins) else "off")
        assert trial.params["seed"] == spec.seed
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    assert importances["plugin.rope"] > importances["plugin.swiglu"]


def test_every_run_of_a_design_is_a_trial(carry_out, tmp_path):
    session, _ = carry_out()
    study = load(tmp_path / "home" / "optuna" / "x.journal", session)
    assert study.metric_names == ["val/bpb"]
    check(study, session)


@pytest.mark.slow
def test_trials_of_tuning_have_their_range(carry_out, tmp_path):
    session, _ = carry_out(TUNE)
    study = load(tmp_path / "home" / "optuna" / "x.journal", session)
    check(study, session)
    (distribution,) = {t.distributions["lr"] for t in study.trials}
    assert (distribution.low, distribution.high, distribution.log) == (1e-4, 1e-2, True)
    stages = [t.params["stage"] for t in study.trials]
    assert (stages.count("trial"), stages.count("run")) == (24, 16)
    assert optuna.importance.get_param_importances(study)["lr"] > 0


@pytest.mark.slow
def test_a_lost_view_is_rebuilt_from_the_records(carry_out, tmp_path):
    carry_out(TUNE)
    shutil.rmtree(tmp_path / "home" / "optuna")
    shutil.rmtree(tmp_path / "home" / "mlflow")
    session, _ = carry_out(TUNE)
    check(load(tmp_path / "home" / "optuna" / "x.journal", session), session)


@pytest.mark.slow
def test_a_second_session_adds_nothing_twice(carry_out, tmp_path):
    carry_out(TUNE)
    session, _ = carry_out(TUNE)
    check(load(tmp_path / "home" / "optuna" / "x.journal", session), session)


@pytest.mark.slow
def test_what_another_study_had_finished_is_shown_too(carry_out, tmp_path, study_text):
    carry_out()
    file = tmp_path / "y.yaml"
    file.write_text(
        study_text + "tune: {lr: [1.0e-3, 9.0e-3], trials: 2}\n"
    )  # 1e-3 is what the first study had
    place = make_home(tmp_path / "home")
    session = Session(planned(Request(file, None, (), ()), place.root), place, Silent())
    session.run(lambda context: StandIn(place.root, response))
    session.close([], complete=True)
    study = optuna.load_study(
        storage=journal(place.optuna("y")), study_name=f"y/{session.record.revision}"
    )
    assert len(study.trials) == len(session.planned.plan.unique) == 32


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", TUNE], ids=["listed", "tuned"])
def test_a_failed_run_is_shown_as_failed_until_it_comes_to_something(carry_out, tmp_path, extra):
    session, _ = carry_out(extra)
    key = next(
        k
        for k, run in session.planned.plan.unique.items()
        if run.trial is None and not isinstance(response(run), RunResult)
    )
    path, record = tmp_path / "home" / "optuna" / "x.journal", Record(tmp_path / "home", key)
    result = record.result
    path.unlink()
    (record.folder / "result.json").unlink()
    record.fail("RuntimeError: no")

    def states():
        tracker = OptunaTracker(session.record, session.planned.study, print)
        tracker.open(session.planned.plan)
        tracker.close([], complete=False)
        return [
            trial.state.name
            for trial in load(path, session).trials
            if trial.user_attrs["run"] == key
        ]

    assert states() == states() == ["FAIL"]
    record.reset()
    assert states() == ["FAIL"]
    record.finish(result)
    assert states() == states() == ["FAIL", "COMPLETE"]


@pytest.mark.slow
def test_what_another_driver_finished_and_did_not_show_is_shown_at_the_end(carry_out, tmp_path):
    session, _ = carry_out()
    place = make_home(tmp_path / "another")  # the same records, and no views
    for name in ("runs", "studies"):
        shutil.copytree(tmp_path / "home" / name, place.root / name)
    record = Record(place.root, next(iter(session.planned.plan.unique)))
    (record.folder / "result.json").rename(tmp_path / "kept")
    study = StudyRecord(place, "x", session.record.revision)
    trackers = [
        OptunaTracker(study, session.planned.study, print),
        MlflowTracker(study, session.planned.study, print),
    ]
    for tracker in trackers:
        tracker.open(session.planned.plan)
    (tmp_path / "kept").rename(record.folder / "result.json")
    assert all(tracker.close([], complete=True) for tracker in trackers)
    check(load(place.optuna("x"), session), session)
    with closing(sqlite3.connect(place.mlflow / "mlflow.db")) as database:
        keys = [
            key for (key,) in database.execute("select value from tags where key = 'ablab.run_key'")
        ]
    assert sorted(keys) == sorted(session.planned.plan.unique)


def test_a_damaged_journal_is_set_aside(carry_out, tmp_path):
    carry_out()
    path = tmp_path / "home" / "optuna" / "x.journal"
    path.write_text("damaged\n" + path.read_text())
    (tmp_path / "home" / "mlflow" / "mlflow.db").unlink()
    session, _ = carry_out()
    check(load(path, session), session)
    assert list((path.parent / "damaged").glob("*.x.journal"))


def test_two_drivers_show_a_run_once(tmp_path):
    stores = [TrialStore(str(tmp_path / "x.journal"), "x", ["val/bpb"]) for _ in range(2)]
    for store in stores:
        store.show("a", {"lr": 0.1}, {"lr": [0.1, 0.2]}, Outcome((1.0,)))
    assert (
        len(optuna.load_study(storage=journal(tmp_path / "x.journal"), study_name="x").trials) == 1
    )


def test_a_password_on_the_command_line_is_not_written(study_text, tmp_path):
    (tmp_path / "x.yaml").write_text(study_text)
    request = Request(
        tmp_path / "x.yaml",
        None,
        ("seeds=1", f"tracking.uri=http://bob:{PASSWORD}@127.0.0.1:9"),
        (),
    )
    assert request.command.endswith("x.yaml seeds=1")
    home = make_home(tmp_path / "home")
    session = Session(planned(request, home.root), home, display := Silent())
    session.run(lambda context: StandIn(home.root, response))
    session.close([], complete=True)
    assert any("MLflow is behind" in text for text in display.said)
    assert PASSWORD not in "".join(display.said)
    assert not [
        p
        for p in (tmp_path / "home").rglob("*")
        if p.is_file() and PASSWORD.encode() in p.read_bytes()
    ]


@pytest.mark.system
@pytest.mark.skipif(postgres.binaries() is None, reason="no PostgreSQL server is installed")
def test_a_team_shares_a_database_and_its_password_is_not_written(carry_out, tmp_path):
    folder = Path(
        tempfile.mkdtemp(prefix="ablab-postgres-")
    )  # where the server's own user may enter
    try:
        with postgres.server(folder, PASSWORD) as address:
            team = f"{TUNE}tracking: {{optuna: '{address}'}}\n"
            session, display = carry_out(team, home="one")
            check_shared(address, session)
            again, _ = carry_out(
                team, home="two"
            )  # another member's home, the same study: nothing stands there twice
            check_shared(address, again)
            assert not [text for text in display.said if "stopped" in text]
        _, display = carry_out(team, home="three")  # the server is away
        assert any("the Optuna view stopped" in text for text in display.said)
        assert PASSWORD not in "".join(display.said)
    finally:
        shutil.rmtree(folder)
    written = [
        p for name in ("one", "two", "three") for p in (tmp_path / name).rglob("*") if p.is_file()
    ]
    assert len(written) > 100
    assert not [p for p in written if PASSWORD.encode() in p.read_bytes()]
