"""A study in MLflow stores: what stands there, what an absence costs, and copies from store to
store.
"""

import json
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from ablab.cli.sync import sync as sync_command
from ablab.errors import UserError
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.records.study_record import StudyRecord
from ablab.spec.study import load_study
from ablab.tracking.mlflow.children import NewChild, create_child, find_children
from ablab.tracking.mlflow.inputs_outputs import log_model
from ablab.tracking.mlflow.metrics import log_metrics
from ablab.tracking.mlflow.parameters import TrackedRuns
from ablab.tracking.mlflow.parents import find_parent, forget_study, open_parent
from ablab.tracking.mlflow.store import open_store
from ablab.tracking.mlflow.tracker import MlflowTracker
from ablab.tracking.sync import sync
from tests.processes import free_port
from tests.standin import StandIn
from tests.tracking.servers import losing, plain
from tests.tracking.stores import (
    carry_out,
    check_whole,
    compare,
    local,
    response,
    session_of,
    shown,
)

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def file(tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(compare(study_text))
    return tmp_path / "x.yaml"


@pytest.fixture
def elsewhere(made, tmp_path):
    """The session of a study, a copy of its home, its record there, and the address of a store that
    is not made yet.
    """
    folder, session = made
    home = make_home(shutil.copytree(folder / "home", tmp_path / "home"))
    study = StudyRecord(home, "x", session.record.revision)
    return session, home, study, f"sqlite:///{tmp_path}/other/mlflow.db"


def cut_off(store):
    """As if writing had been cut off within one run."""
    with closing(sqlite3.connect(store)) as database:
        (run,) = database.execute(
            "select run_uuid from tags where key = 'ablab.arm' and value = 'llama' limit 1"
        ).fetchone()
        database.execute("update runs set status = 'RUNNING' where run_uuid = ?", (run,))
        database.execute("delete from metrics where run_uuid = ? and step = 2", (run,))
        database.execute("delete from params where run_uuid = ? and key = 'seed'", (run,))
        database.commit()


def unfinish(record):
    """Make a finished run one that is under way, and return its result."""
    result = record.result
    (record.folder / "result.json").unlink()
    return result


def test_a_study_is_one_parent_with_children_that_people_can_compare(made):
    folder, session = made
    found = shown(local(folder))
    check_whole(found, folder / "home")
    assert found.parent.info.status == "FINISHED"
    assert found.parent.data.tags["mlflow.note.content"] == "Does any of it help?"
    by_name = {run.info.run_name: run for run in found.children.values()}
    assert sorted(by_name) == sorted(
        f"{arm} · seed {s}" for arm in ("gpt2", "gpt2 + rope", "llama") for s in (1, 2)
    )
    base, arm = (by_name[f"{name} · seed 1"].data.params for name in ("gpt2", "gpt2 + rope"))
    assert base.keys() == arm.keys()
    differing = {name for name in base if base[name] != arm[name]}
    # GPT-2's positions give way to rotation: that, and the arm's name, is all that differs.
    assert differing == {"arm", "plugin.rope", "with.rope"}, differing
    report = {file.name for file in session.record.reports.glob(f"{session.record.revision}*")}
    kinds = {name.rpartition(".")[2] for name in report}
    assert kinds == {"html", "md", "json", "svg", "png", "csv"}
    assert found.artifacts == report | {
        f"study-{session.record.revision}.yaml",
        "effects.json",
    }
    (part,) = json.loads((session.record.reports / f"{session.record.revision}.json").read_text())[
        "parts"
    ]
    estimates = {e["name"]: e["estimate"] for e in part["effects"]}
    assert estimates.keys() == {"gpt2 + rope", "llama"}
    assert found.parent.data.metrics["effect/gpt2 and rope"] == estimates["gpt2 + rope"]
    assert found.parent.data.metrics["effect/llama"] == estimates["llama"]


def test_inputs_are_the_splits_and_the_output_is_the_model(made):
    from mlflow import MlflowClient

    folder, session = made
    (data,) = session.planned.plan.data
    manifest = json.loads((folder / "home" / "tokens" / data / "manifest.json").read_text())
    client = MlflowClient(local(folder))
    for key, run in shown(local(folder)).children.items():
        inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
        assert set(inputs) == {"train", "val", "test"}
        assert {i.digest for i in inputs.values()} == {data}
        assert inputs["train"].name == "text train"
        assert json.loads(inputs["val"].profile)["tokens"] == manifest["splits"]["val"]["tokens"]
        (output,) = run.outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        assert (model.name, model.source_run_id, output.step) == (
            run.info.run_name,
            run.info.run_id,
            4,
        )
        assert model.params["run_key"] == key
        assert not [value for value in model.params.values() if str(folder) in value]


@pytest.mark.parametrize("name", ["ada's", 'the "small" one', 'ada\'s "small" one'])
def test_names_with_quotes_are_found_and_forgotten(name, tmp_path):
    from mlflow import MlflowClient

    uri, others = f"sqlite:///{tmp_path}/mlflow.db", [name.replace("'", "_").replace('"', "_"), "x"]
    store = open_store(uri, tmp_path)
    made = {study: open_parent(store, study, {}) for study in (*others, name)}
    create_child(store, made[name], NewChild("a", "key"), {}, {})
    assert {study: find_parent(store, study) for study in made} == made
    forget_study(store, name)
    assert [find_parent(store, study) for study in (*others, name)] == [
        *(made[study] for study in others),
        None,
    ]
    assert len(MlflowClient(uri).search_runs([store.experiment])) == len(others)


def test_the_attached_study_file_is_the_study(made, tmp_path):
    from mlflow import MlflowClient

    folder, session = made
    client, parent = MlflowClient(local(folder)), shown(local(folder)).parent
    path = client.download_artifacts(
        parent.info.run_id, f"study-{session.record.revision}.yaml", str(tmp_path)
    )
    study, _ = load_study(tmp_path / path, None, [])
    assert study.revision() == session.record.revision


def test_sync_writes_a_study_into_another_store_once(made, tmp_path):
    folder, _ = made
    there = f"sqlite:///{tmp_path}/other/mlflow.db"
    for _ in range(2):
        sync_command("x", to=there, home=folder / "home")
        found, own = shown(there), shown(local(folder))
        check_whole(found, folder / "home")
        assert found.artifacts == own.artifacts
        assert {key: run.data.params for key, run in found.children.items()} == {
            key: run.data.params for key, run in own.children.items()
        }
        assert found.parent.info.status == "FINISHED"
        assert found.parent.data.metrics == own.parent.data.metrics
        cut_off(tmp_path / "other" / "mlflow.db")
    assert (tmp_path / "other" / "artifacts").is_dir()


def test_a_copy_from_store_to_store_has_all_and_can_be_cut_off(made, tmp_path):
    folder, _ = made
    there = f"sqlite:///{tmp_path}/copy/mlflow.db"
    sync_command("x", to=there, source=local(folder))
    cut_off(tmp_path / "copy" / "mlflow.db")
    sync_command("x", to=there, source=local(folder))
    found, own = shown(there), shown(local(folder))
    check_whole(found, folder / "home")
    assert found.artifacts == own.artifacts
    assert found.parent.data.metrics == own.parent.data.metrics
    for key, run in found.children.items():
        assert (run.data.params, run.info.run_name) == (
            own.children[key].data.params,
            own.children[key].info.run_name,
        )
        assert {i.dataset.digest for i in run.inputs.dataset_inputs} == {
            i.dataset.digest for i in own.children[key].inputs.dataset_inputs
        }


TUNED = "tune: {lr: {low: 1.0e-4, high: 1.0e-2}, trials: 2}\n"


def unlike_response(spec):
    """GPT-2 is best at the low learning rate, LLaMA at the high one; on the average all are at the
    high one.
    """
    high = spec.recipe["lr"] > 1e-3
    return 3.0 + 0.01 * spec.seed + (0.1 * high if spec.arm == "gpt2" else -0.2 * high)


@pytest.mark.parametrize(
    ("budget", "extra", "children"),
    [
        (
            "budget: {steps: 4}",
            TUNED,
            3 * 2 + 3 + 1,
        ),  # trials, each arm's own best, and GPT-2 under the recipe of all
        ("budgets: [{steps: 4}, {steps: 8}]", "", 2 * 3),
        ("budgets: [{steps: 4}, {steps: 8}]", TUNED, 2 * (3 * 2 + 3 + 1)),
        ("budget: {seconds: 5}", "", 3),
    ],
    ids=["tuned", "parts", "tuned parts", "seconds"],
)
def test_what_is_synced_is_what_was_shown(budget, extra, children, tmp_path, study_text):
    text = (
        compare(study_text, extra)
        .replace("seeds: 2", "seeds: 1")
        .replace("budget: {steps: 4}", budget)
    )
    (tmp_path / "x.yaml").write_text(text)
    session, _ = session_of(tmp_path / "x.yaml", tmp_path / "home")
    session.run(lambda context: StandIn(session.home.root, unlike_response))
    session.close([], complete=True)
    assert len(sync(session.record, f"sqlite:///{tmp_path}/other/mlflow.db", [])) == children
    found, own = shown(f"sqlite:///{tmp_path}/other/mlflow.db"), shown(local(tmp_path))
    assert len(found.children) == children
    told = [
        {key: (run.info.run_name, run.data.params) for key, run in where.children.items()}
        for where in (found, own)
    ]
    assert told[0] == told[1]
    check_whole(found, tmp_path / "home")


def test_a_server_that_comes_late_and_one_that_goes_lose_nothing(file, tmp_path, capfd):
    port = free_port()
    address, told = (
        f"http://me:{password}@127.0.0.1:{port}" for password in ("not-to-be-seen", "***")
    )
    file.write_text(file.read_text() + f"tracking: {{uri: '{address}'}}\n")
    (tmp_path / "server").mkdir()
    start = time.monotonic()
    session, display = carry_out(file, tmp_path / "home")  # away all along: no run waits for it
    assert time.monotonic() - start < 60
    assert len(list(tmp_path.glob("home/runs/*/result.json"))) == 6
    assert (
        sum(text.startswith(f"MLflow is behind ({told} does not answer") for text in display.said)
        == 1
    )
    assert "`ablab sync x` sends it" in display.said[-1]
    with pytest.raises(UserError, match="does not answer"):
        sync_command("x", to=address, home=tmp_path / "home")
    tracker = MlflowTracker(session.record, session.planned.study, display.say)
    tracker.open(session.planned.plan)  # still away
    spec = next(iter(session.planned.plan.unique.values()))
    tracker.started(spec)
    record = Record(tmp_path / "home", spec.key)
    result = unfinish(record)
    record.metrics.truncate(2)
    with plain(tmp_path / "server", port):
        tracker._backoff.retry_now()  # the wait is over
        tracker.tick([spec])
        assert display.said[-1] == "MLflow answers again: it was sent what it missed"
        assert shown(address).children[spec.key].info.status == "RUNNING"
        record.metrics.append(3, {"train/loss": 4.0})
    tracker.ended(spec, "interrupted")  # and gone in the middle
    assert display.said[-1].startswith("MLflow is behind")
    with plain(tmp_path / "server", port):
        record.metrics.truncate(2)  # another attempt goes on from step 2, and measures step 3 again
        record.metrics.append(3, {"train/loss": 4.0})
        record.finish(result)
        for _ in range(2):
            sync_command("x", to=address, home=tmp_path / "home")
        check_whole(shown(address), tmp_path / "home")
    assert capfd.readouterr().out == 2 * f"x: 6 runs stand in {told}\n"


SEARCHED = (
    "design: {kind: search, changes: [rmsnorm], factors: {position: [learned, rope]}, trials: 3, "
    "at_once: 1, confirm: 1}\n"
)
REVISIONS = [
    "design: {kind: compare}\narms: {gpt2: gpt2, a: gpt2 + rope}\n",
    "design: {kind: compare}\narms: {gpt2: gpt2, b: gpt2 + swiglu}\n",
]


@pytest.mark.parametrize("designs", [[SEARCHED], REVISIONS], ids=["searched", "two revisions"])
def test_every_child_says_of_every_plugin_whether_it_has_it(designs, tmp_path, study_text):
    for design in designs:
        text = study_text.replace("design: {kind: leave_one_out}\n", design).replace(
            "seeds: 2", "seeds: 1"
        )
        (tmp_path / "x.yaml").write_text(
            text if "factors" in design else text.replace("from: gpt2\nto: llama\n", "")
        )
        session, _ = session_of(tmp_path / "x.yaml", tmp_path / "home")
        session.run(lambda context: StandIn(tmp_path / "home", response))
        session.close([], complete=True)
    children = shown(local(tmp_path)).children
    assert len(children) >= 3
    specs = {
        key: json.loads((tmp_path / "home" / "runs" / key / "spec.json").read_text())
        for key in children
    }
    plugins = {key: {name for name, _ in spec["plugins"]} for key, spec in specs.items()}
    every = set().union(*plugins.values())
    assert every not in plugins.values()
    for key, run in children.items():
        said = {
            name: value != "off"
            for name, value in run.data.params.items()
            if name.startswith("plugin.")
        }
        assert said == {f"plugin.{name}": name in plugins[key] for name in every}
        counted = {name: run.data.params[f"with.{name}"] == "1" for name in every}
        assert counted == {name: name in plugins[key] for name in every}


def test_a_run_that_the_store_refuses_stops_no_other(elsewhere):
    session, home, study, uri = elsewhere
    plan = session.planned.plan
    first, *others = plan.runs
    refused = replace(
        first, dims={**first.dims, "no(name)": 1}
    )  # which MLflow takes for no parameter
    said = []
    tracker = MlflowTracker(study, session.planned.study, said.append, uri)
    (part,) = plan.parts
    part = replace(part, plan=replace(part.plan, runs=(refused, *others)))
    tracker.open(replace(plan, parts=(part,)))
    tracker.started(refused)
    tracker.ended(refused, RunState.FINISHED)
    assert not said
    assert not tracker.close([], complete=True)
    assert len(said) == 1
    assert said[0].startswith(
        f'MLflow refuses {first.label} (MlflowException: Invalid value "dims.no(name)"'
    )
    found = shown(uri)
    assert [key for key, run in found.children.items() if run.info.status != "FINISHED"] == [
        first.key
    ]
    with pytest.raises(UserError, match=f"^MLflow refuses {first.label} "):
        tracker.write([], "FINISHED")
    tracker.set_runs(TrackedRuns.of(plan))
    tracker.write([], "FINISHED")
    check_whole(shown(uri), home.root)


def test_a_child_that_somebody_deletes_is_written_again(elsewhere, tmp_path):
    session, home, study, uri = elsewhere
    spec = session.planned.plan.runs[0]
    record = Record(home.root, spec.key)
    result = unfinish(record)
    tracker = MlflowTracker(study, session.planned.study, pytest.fail, uri)
    tracker.open(session.planned.plan)
    tracker.started(spec)
    store = open_store(uri, tmp_path / "other")
    store.client.delete_run(shown(uri).children[spec.key].info.run_id)
    tracker.tick([spec])
    record.finish(result)
    tracker.ended(spec, "finished")
    assert tracker.close([], complete=True)
    check_whole(shown(uri), home.root)


def test_a_run_that_is_damaged_before_it_is_shown_is_not_shown_as_finished(elsewhere):
    session, home, study, uri = elsewhere
    first, second, *_ = session.planned.plan.runs
    tracker = MlflowTracker(study, session.planned.study, pytest.fail, uri)
    result = unfinish(Record(home.root, first.key))
    tracker.open(session.planned.plan)
    tracker.started(first)
    Record(home.root, first.key).finish(result)
    for spec in (first, second):
        metrics = home.root / "runs" / spec.key / "metrics.jsonl"
        metrics.write_bytes(metrics.read_bytes()[:-9])
        tracker.ended(spec, RunState.FINISHED)
    children = shown(uri).children
    assert children[first.key].info.status == "KILLED"
    assert not [name for name in children[first.key].data.metrics if name.startswith("final/")]


def test_a_long_name_is_cut(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    parent = open_parent(store, "s" * 300, {})
    child = create_child(store, parent, NewChild("a" * 251, "key"), {}, {})
    log_model(store, child, "a" * 600, {}, 1)
    names = [store.client.get_run(run).info.run_name for run in (parent, child)]
    assert names == ["s" * 249 + "…", "a" * 249 + "…"]
    assert store.client.get_run(child).data.tags["mlflow.runName"] == names[1]
    (model,) = store.client.search_logged_models([store.experiment])
    assert model.name == names[1]
    assert find_parent(store, "s" * 300) == parent
    whole = create_child(store, parent, NewChild("a" * 250, "other"), {}, {})
    assert store.client.get_run(whole).info.run_name == "a" * 250


def test_what_two_drivers_send_stands_there_once(elsewhere):
    session, home, study, uri = elsewhere
    plan = session.planned.plan
    spec = next(iter(plan.unique.values()))
    record = Record(home.root, spec.key)
    result = unfinish(record)
    record.metrics.truncate(1)
    first, second = (
        MlflowTracker(study, session.planned.study, pytest.fail, uri) for _ in range(2)
    )
    for tracker in (first, second):
        tracker.open(plan)
        tracker.started(spec)  # both hand it out, and the second trains it
        tracker.tick([spec])
    record.metrics.append(2, {"val/bpb": 3.0, "train/loss": 5.0})
    second.ended(spec, "interrupted")
    record.metrics.truncate(1)
    first.started(spec)  # it goes on from an earlier checkpoint
    record.metrics.append(2, {"val/bpb": 3.0, "train/loss": 5.0})
    first._last_tick = 0.0
    first.tick([spec])
    record.finish(result)
    for tracker in (second, first):
        tracker.ended(spec, "finished")  # the one has trained it, the other finds it trained
    check_whole(shown(uri), home.root)


def test_an_answer_that_is_lost_makes_nothing_twice(made, tmp_path):
    from mlflow import MlflowClient

    folder, _ = made
    port, lost = (
        free_port(),
        ["/runs/create", "/runs/create", "/logged-models"],
    )  # the study's, the first run's, its model's
    with plain(tmp_path, port) as server, losing(port, lost) as address:
        for _ in lost:
            with pytest.raises(UserError, match="does not answer"):
                sync_command("x", to=address, home=folder / "home")
        sync_command("x", to=address, home=folder / "home")
        found = shown(server)
        check_whole(found, folder / "home")
        models = MlflowClient(server).search_logged_models([found.parent.info.experiment_id])
        assert sorted(model.source_run_id for model in models) == sorted(
            run.info.run_id for run in found.children.values()
        )


def test_what_was_made_twice_becomes_one(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = open_store(uri, tmp_path)
    client = store.client
    tags = {"ablab.study": "x", "ablab.kind": "study"}
    younger, older = (
        client.create_run(store.experiment, began, tags).info.run_id for began in (2000, 1000)
    )
    made = {
        (key, began, loss): create_child(store, parent, NewChild("a", key, began), {"arm": "a"}, {})
        for key, parent, began, loss in (
            ("late", younger, 20, 3.0),
            ("late", older, 10, None),  # the older is kept though it is empty
            ("together", older, 10, None),
            ("together", older, 10, 3.0),
            ("together", younger, 10, None),
            ("once", younger, 10, 3.0),
        )
    }
    for (_, _, loss), run in made.items():
        log_metrics(store, run, [{"step": 1, "time": 0.0, "train/loss": loss}] if loss else [])
    assert find_parent(store, "x") == open_parent(store, "x", {}) == older
    for key in ("late", None):
        found = {name: child.id for name, child in find_children(store, older, key).items()}
    assert found == {
        name: made[of]
        for name, of in (
            ("late", ("late", 10, None)),
            ("together", ("together", 10, 3.0)),
            ("once", ("once", 10, 3.0)),
        )
    }
    assert {run.info.run_id for run in client.search_runs([store.experiment])} == {
        older,
        *found.values(),
    }
    for _ in range(2):
        client.create_logged_model(store.experiment, "a", source_run_id=found["once"])
    log_model(store, found["once"], "a", {}, 4)
    (model,) = client.search_logged_models([store.experiment])
    assert [output.model_id for output in client.get_run(found["once"]).outputs.model_outputs] == [
        model.model_id
    ]
