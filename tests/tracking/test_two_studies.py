"""Two studies are compared on MLflow's own page, by the effects that their parent runs carry."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlflow import MlflowClient
from tests.browser import browser
from tests.conftest import STUDY, command
from tests.processes import free_port
from tests.tracking import stores
from tests.tracking.mlflow_pages import compare_runs
from tests.tracking.servers import started
from tests.tracking.stores import carry_out, compare

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own warnings
]
ROPE = "effect/gpt2 and rope"


@pytest.fixture
def home(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the studies x and y, which differ in the seeds and in what rope does."""
    text = compare(STUDY.format(corpus=corpus))
    for name, seeds, gain in (("x", "[1, 2]", 0.25), ("y", "[3, 4]", 0.125)):
        monkeypatch.setattr(stores, "response", partial(response, gain))
        (tmp_path / f"{name}.yaml").write_text(text.replace("seeds: 2", f"seeds: {seeds}"))
        carry_out(tmp_path / f"{name}.yaml", tmp_path / "home")
    return tmp_path / "home"


def response(gain: float, spec: Any) -> float:
    return 3.0 - gain * ("rope" in dict(spec.plugins)) + 0.01 * spec.seed


def effects(home: Path) -> dict[str, dict[str, float]]:
    """The metrics of the parent runs, by study."""
    client = MlflowClient(f"sqlite:///{home.resolve()}/mlflow/mlflow.db")
    runs = [run for run in client.search_runs(["1"]) if "mlflow.parentRunId" not in run.data.tags]
    return {run.info.run_name or "": run.data.metrics for run in runs}


def test_the_effects_of_both_stand_side_by_side(home, tmp_path):
    stored = effects(home)
    assert sorted(stored) == ["x", "y"]
    assert stored["x"][ROPE] != stored["y"][ROPE]
    names = [name for name in stored["x"] if re.match("effect(_low|_high)?/", name)]
    port = free_port()
    with (
        browser() as chromium,
        started(command("ui", "--home", home, "--port", port), port, tmp_path) as address,
    ):
        page = chromium.page(width=1600)
        page.set_default_timeout(60_000)
        page.goto(f"{address}/#/experiments/1/runs?workflowType=machine_learning")
        page.get_by_text("matching runs").wait_for()
        compare_runs(page, ("x", "y"))
        metrics = page.get_by_text(ROPE, exact=True).nth(1)  # the first is in the plot's choice
        metrics.wait_for()
        lines = page.locator("body").inner_text().splitlines()
        assert not chromium.asked
    order = [line for line in lines[lines.index("Run Name:\t") :] if line in stored][:2]
    begin = lines.index("Show diff only", lines.index("Metrics")) + 1
    assert lines[begin : begin + len(names)] == sorted(names)
    values = [float(line) for line in lines[begin + len(names) :][: 2 * len(names)]]
    assert values == [
        pytest.approx(stored[study][name], abs=1e-3) for name in sorted(names) for study in order
    ]
