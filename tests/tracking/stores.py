"""Studies for tests of tracking, and what stands in an MLflow store, read by MLflow's own
client.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from tests.standin import Silent, StandIn

COMPARE = "arms: {gpt2: gpt2, gpt2 + rope: gpt2 + rope, llama: llama}\n"


def compare(text: str, extra: str = "") -> str:
    """The small study, of three arms and two seeds."""
    return (
        text.replace("leave_one_out", "compare").replace("from: gpt2\nto: llama\n", COMPARE) + extra
    )


def response(spec: Any) -> float:
    return 3.0 - 0.3 * ("rope" in dict(spec.plugins)) + 0.01 * spec.seed


def session_of(file: Path, home: Path) -> tuple[Session, Silent]:
    place = make_home(home)
    session = Session(planned(Request(file, None, (), ()), place.root), place, display := Silent())
    return session, display


def carry_out(
    file: Path, home: Path, standin: Callable[..., Any] = StandIn
) -> tuple[Session, Silent]:
    """A study made by the stand-in trainer, tracked for real."""
    from ablab.analysis.summarise import summarise
    from ablab.report.files import write_files

    session, display = session_of(file, home)
    session.run(lambda context: standin(session.home.root, response))
    summary = summarise(session.record)
    session.close(write_files(summary, session.record), complete=True, summary=summary)
    return session, display


def local(folder: Path) -> str:
    """The home's own store."""
    return f"sqlite:///{folder.resolve()}/home/mlflow/mlflow.db"


@dataclass
class Shown:
    """What a store shows of a study. `history`: each metric of each child with how often it stands
    there, by run key.
    """

    parent: Any
    children: dict[str, Any]
    history: dict[str, Counter[tuple[str, int, float]]]
    artifacts: set[str]


def shown(uri: str, study: str = "x") -> Shown:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("ablab")
    assert experiment is not None
    runs = list(
        client.search_runs(
            [experiment.experiment_id], f"tags.`ablab.study` = '{study}'", max_results=1000
        )
    )
    (parent,) = [run for run in runs if run.data.tags["ablab.kind"] == "study"]
    under = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(under) == len(runs) - 1  # one level, and nobody else's
    children = {run.data.tags["ablab.run_key"]: run for run in under}
    assert len(children) == len(under)  # each once
    points = {key: Counter(_points(client, run)) for key, run in children.items()}
    return Shown(
        parent, children, points, {file.path for file in client.list_artifacts(parent.info.run_id)}
    )


def _points(client: Any, run: Any) -> list[tuple[str, int, float]]:
    histories = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
    return [(metric.key, metric.step, metric.value) for history in histories for metric in history]


def expected_history(
    home: Path, key: str, result: Mapping[str, Any]
) -> Counter[tuple[str, int, float]]:
    """What the records say, read as plain files."""
    rows = [
        json.loads(line)
        for line in (home / "runs" / key / "metrics.jsonl").read_text().splitlines()
    ]
    points = [
        (name, row["step"], value)
        for row in rows
        for name, value in row.items()
        if name not in ("step", "time", "crc")
    ]
    by_step = {(name, step) for name, step, _ in points}
    points += [
        (f"final/{name}", result["steps"], value) for name, value in result["metrics"].items()
    ]
    ends = {f"cost/{name}": value for name, value in result["cost"].items() if value is not None}
    points += [
        (name, result["steps"], value)
        for name, value in ends.items()
        if (name, result["steps"]) not in by_step
    ]
    return Counter(points)


def check_whole(found: Shown, home: Path) -> None:
    """Every finished run of the home stands there, with each of its metrics once and one model."""
    results = {
        file.parent.name: json.loads(file.read_text()) for file in home.glob("runs/*/result.json")
    }
    assert sorted(found.children) == sorted(results)
    for key, result in results.items():
        assert found.children[key].info.status == "FINISHED"
        assert found.history[key] == expected_history(home, key, result)
        assert len(found.children[key].outputs.model_outputs) == 1
