"""`ablab sync` from a home: several revisions, and runs that ended otherwise than by finishing."""

import pytest

from ablab.cli.sync import sync as sync_command
from ablab.errors import UserError
from ablab.records.run_record import Record
from ablab.records.study_record import revisions
from ablab.sealed import read_sealed, write_sealed
from ablab.tracking.sync import sync
from ablab.tracking.trackers import Trackers
from tests.standin import StandIn
from tests.tracking.stores import check_whole, compare, local, response, session_of, shown

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and SQLAlchemy's own warnings


def trained(tmp_path, text):
    """The study that `text` says, trained and not tracked."""
    (tmp_path / "x.yaml").write_text(text)
    session, _ = session_of(tmp_path / "x.yaml", tmp_path / "home")
    session.trackers = Trackers([])  # a tracker's own thread would send what `sync` is to send
    session.run(lambda context: StandIn(session.home.root, response))
    return session


def damage(record):
    """As another version of ablab might have written it."""
    content = read_sealed(record.path, record.home.root)
    assert content is not None
    write_sealed(record.path, {**content, "study": {**content["study"], "seedlings": 3}})


@pytest.mark.slow
def test_a_revision_that_cannot_be_read_is_passed_over_and_a_run_of_several_counts_once(
    tmp_path, study_text, capsys
):
    text = compare(study_text)
    trained(tmp_path, text.replace(", llama: llama", "").replace("seeds: 2", "seeds: 3"))
    trained(tmp_path, text)  # four of the first's runs, and two of its own
    old, new = revisions(session_of(tmp_path / "x.yaml", tmp_path / "home")[0].home, "x")
    sync_command("x", home=tmp_path / "home")
    assert capsys.readouterr().out.startswith("x: 8 runs stand in sqlite")
    check_whole(shown(local(tmp_path)), tmp_path / "home")
    damage(old)
    sync_command("x", to=f"sqlite:///{tmp_path}/other/mlflow.db", home=tmp_path / "home")
    told = capsys.readouterr()
    assert told.out.startswith("x: 6 runs stand in sqlite")
    passed = (
        f"'x' (revision {old.revision}) was recorded by another version of ablab: `ablab run` its "
        "file again"
    )
    assert told.err == f"ablab: {passed}\n"
    assert len(shown(f"sqlite:///{tmp_path}/other/mlflow.db").children) == 6
    damage(new)
    with pytest.raises(
        UserError,
        match=rf"^'x' \(revision {old.revision}\) .*\n'x' \(revision {new.revision}\) .*$",
    ):
        sync_command("x", home=tmp_path / "home")


def test_what_an_interrupted_run_has_measured_is_sent(tmp_path, study_text):
    session = trained(tmp_path, compare(study_text))
    cut, bare, *_ = [Record(session.home.root, key) for key in session.planned.plan.unique]
    for record in (cut, bare):
        (record.folder / "result.json").unlink()
    (bare.folder / "metrics.jsonl").unlink()  # begun, and nothing measured
    heard = []
    sent = sync(
        session.record,
        local(tmp_path),
        [],
        progress=lambda done, total: heard.append((done, total)),
    )
    assert cut.key in sent
    finished = len(session.planned.plan.unique) - 2
    assert heard == [(done, finished) for done in range(1, finished + 1)]
    found = shown(local(tmp_path))
    assert set(session.planned.plan.unique) - set(found.children) == {bare.key}
    assert found.children[cut.key].info.status == "KILLED"
    # What the stand-in measures at its two steps, and logs with its last one.
    assert dict(found.history[cut.key]) == {
        ("val/bpb", 1, 4.0): 1,
        ("val/bpb", 2, 3.0): 1,
        ("train/loss", 1, 5.0): 1,
        ("train/loss", 2, 5.0): 1,
        ("cost/tokens", 4, 256.0): 1,
        ("cost/tokens_per_second", 4, 300.0): 1,
    }
