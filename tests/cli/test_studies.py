"""Studies through the real command, with real worker processes and a real MLflow store."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, environment, losses, results

pytestmark = pytest.mark.system

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
quiet = pytest.mark.filterwarnings("ignore")

CRASH = '''
"""A plugin whose model kills its process, and one whose model raises."""
import os
from dataclasses import dataclass
from torch import nn
from ablab.plugin import Activation, plugin

class Crashing(nn.Module):
    def forward(self, x):
        if x.device.type != "meta":
            os.kill(os.getpid(), 9)
        return x

class Raising(nn.Module):
    error = RuntimeError("this model cannot run")

    def forward(self, x):
        if x.device.type != "meta":
            raise self.error
        return x

@dataclass(frozen=True)
class Bad(Activation):
    crash: bool
    def build(self):
        return Crashing() if self.crash else Raising()

@plugin(source="a test")
class Crash:
    """Kills the process."""
    def edit(self):
        return {"mlp.activation": Bad(True)}

@plugin(source="a test")
class Raise:
    """Raises."""
    def edit(self):
        return {"mlp.activation": Bad(False)}
'''


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The flagship's smoke profile, run once by the real command."""
    folder = tmp_path_factory.mktemp("smoke")
    imports = import_seconds()
    start = time.monotonic()
    arguments = (
        "run",
        ROOT / "studies" / "gpt2_vs_llama.yaml",
        "--profile",
        "smoke",
        "--home",
        folder / "home",
    )
    result = subprocess.run(
        command(*arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder / "home", result.stdout, time.monotonic() - start, imports


def import_seconds():
    """Return how long the libraries of a run take to import here and now: 5 s on a machine that
    does nothing else. Limits on wall time are multiples of it, since machines are shared.
    """
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch, lightning, mlflow"], check=True)
    return time.monotonic() - start


def test_the_smoke_study_takes_a_minute_at_most(smoke):
    assert smoke[2] < 12 * max(smoke[3], import_seconds(), 5)


def test_it_prints_the_effects_and_where_to_read_on(smoke):
    texts = ("rope", "llama vs gpt2", "95 % interval", "% validation", "All this is", "report: ")
    for text in texts:
        assert text in smoke[1]
    answer = smoke[1][smoke[1].index("Effect on val/bpb") : smoke[1].index("report: ")]
    assert max(map(len, answer.splitlines())) <= 80


def test_the_report_prints_arms_and_scope(smoke, ablab):
    text = ablab("report", "gpt2_vs_llama@smoke", "--home", smoke[0]).stdout
    for part in ("Arms (a run", "95 % interval", "% validation", "no arm was", "report: "):
        assert part in text
    tables = [line for line in text.splitlines() if line.startswith(("│", "┃"))]
    assert max(map(len, tables)) <= 80


def test_a_second_run_trains_nothing_in_ten_seconds(smoke, ablab):
    before = results(smoke[0])
    start = time.monotonic()
    result = ablab(
        "run", ROOT / "studies" / "gpt2_vs_llama.yaml", "--profile", "smoke", "--home", smoke[0]
    )
    seconds = time.monotonic() - start
    assert "all 18 runs are finished" in result.stdout
    assert results(smoke[0]) == before
    assert seconds < 3 * max(import_seconds(), import_seconds(), 3.5)


def test_report_json(smoke, ablab):
    content = json.loads(
        ablab("report", "gpt2_vs_llama@smoke", "--json", "--home", smoke[0]).stdout
    )
    (part,) = content["parts"]
    assert part["metric"] == "val/bpb"
    arms = {a["name"]: a for a in part["arms"]}
    assert arms["gpt2"]["n"] == 2
    values = [v["value"] for v in arms["gpt2"]["values"]]
    assert arms["gpt2"]["mean"] == pytest.approx(sum(values) / 2)
    assert [v["seed"] for v in arms["gpt2"]["values"]] == [1, 2]
    effects = {e["name"]: e for e in part["effects"]}
    assert effects["rope"]["kind"] == "change"
    # GPT-2 itself is no part of the fraction of resolution III.
    with_rope = [a["mean"] for name, a in arms.items() if name == "llama" or "+ rope" in name]
    without = [
        a["mean"]
        for name, a in arms.items()
        if name not in ("gpt2", "llama") and "+ rope" not in name
    ]
    assert len(with_rope) == len(without) == 4
    assert effects["rope"]["estimate"] == pytest.approx((sum(with_rope) - sum(without)) / 4)
    assert effects["rope"]["low"] < effects["rope"]["estimate"] < effects["rope"]["high"]
    changes = {"no_bias", "rmsnorm", "rope", "swiglu", "untied_embeddings", "- scaled_init"}
    assert {name for name, e in effects.items() if e["kind"] == "change"} == changes
    assert effects["llama vs gpt2"]["estimate"] == pytest.approx(
        arms["llama"]["mean"] - arms["gpt2"]["mean"]
    )
    assert {e["kind"] for e in effects.values()} == {"change", "total", "interaction"}
    # Fifteen pairs of changes: each main effect is aliased with two, and one class of three is
    # clear.
    pairs = {name for e in effects.values() for name in (e["name"], *e["aliases"]) if "×" in name}
    assert (len(pairs), [len(effects[change]["aliases"]) for change in changes]) == (15, [2] * 6)


def test_report_by_file_name_and_html(smoke, ablab):
    file = ROOT / "studies" / "gpt2_vs_llama.yaml"
    result = ablab("report", file, "--profile", "smoke", "--home", smoke[0])
    assert "llama vs gpt2" in result.stdout
    page = Path(result.stdout.split("report: ")[1].strip()).read_text()
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["'](?!#|data:text/csv)""", page)  # nothing is fetched
    missing = ablab("report", file, "--profile", "smoke", "seeds=7", "--home", smoke[0])
    assert missing.returncode == 2
    assert "has not been run" in missing.stderr
    wrong = ablab("report", "gpt2_vs_lama", "--home", smoke[0])
    assert wrong.returncode == 2
    assert "did you mean" in wrong.stderr


@quiet
def test_mlflow_shows_the_study(smoke):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{smoke[0].resolve()}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'ablab'")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    (parent,) = [r for r in runs if r.data.tags["ablab.kind"] == "study"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 18
    assert all(r.info.status == "FINISHED" for r in runs)
    assert {r.info.run_name for r in children} >= {
        "gpt2 · seed 1",
        "gpt2 + no_bias - scaled_init · seed 2",
    }
    by_name = {r.info.run_name: r for r in children}
    assert by_name["llama · seed 1"].data.params["plugin.rope"] == "on"
    assert by_name["gpt2 · seed 1"].data.params["plugin.rope"] == "off"
    assert (
        len({frozenset(k for k in r.data.params if k.startswith("plugin.")) for r in children}) == 1
    )
    for r in children:
        record = json.loads(
            (smoke[0] / "runs" / r.data.tags["ablab.run_key"] / "result.json").read_text()
        )
        assert r.data.metrics["final/val/bpb"] == record["metrics"]["val/bpb"]
        assert r.data.metrics["cost/flops"] == record["cost"]["flops"]
        assert r.data.params["budget.tokens"] == "20000.0"
        assert (
            r.data.metrics["system/memory_usage_megabytes"] > 50
        )  # a process that has torch loaded
        history = client.get_metric_history(r.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in history] == [
            (row["step"], row["train/loss"])
            for row in losses(smoke[0] / "runs" / record_key(r))
            if "train/loss" in row
        ]
    names = {a.path for a in client.list_artifacts(parent.info.run_id)}
    for ending in (".html", ".md", ".json", "-forest.svg", "-forest.png"):
        assert any(n.endswith(ending) for n in names)


def record_key(run):
    return run.data.tags["ablab.run_key"]


@quiet
def test_a_run_reused_by_another_study_is_a_light_copy(smoke, ablab, tmp_path):
    from mlflow import MlflowClient

    text = (ROOT / "studies" / "gpt2_vs_llama.yaml").read_text()
    text = text.replace("{kind: fractional_factorial, resolution: 4}", "{kind: compare}")
    text = text.replace("    design: {resolution: 3}\n", "")
    (tmp_path / "ends.yaml").write_text(text)
    result = ablab("run", "ends.yaml", "--profile", "smoke", "--home", smoke[0])
    assert "all 4 runs are finished" in result.stdout
    client = MlflowClient(f"sqlite:///{smoke[0].resolve()}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'ablab'")
    copies = client.search_runs(
        [experiment.experiment_id], "tags.reused_from = 'gpt2_vs_llama@smoke'"
    )
    assert len(copies) == 4
    assert all(
        "final/val/bpb" in r.data.metrics and "train/loss" not in r.data.metrics for r in copies
    )


@quiet
def test_losing_mlflow_loses_nothing(smoke, ablab, tmp_path):
    from mlflow import MlflowClient

    home = tmp_path / "home"
    shutil.copytree(smoke[0], home, ignore=shutil.ignore_patterns("mlflow"))
    ablab("run", ROOT / "studies" / "gpt2_vs_llama.yaml", "--profile", "smoke", "--home", home)
    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'ablab'")
    runs = client.search_runs([experiment.experiment_id], "tags.`ablab.kind` = 'run'")
    assert len(runs) == 18
    assert all("final/val/bpb" in r.data.metrics and "train/loss" in r.data.metrics for r in runs)


def test_a_crash_costs_the_run_that_crashed(ablab, tmp_path, study_text):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "crash.py").write_text(CRASH)
    arms = "arms: {base: gpt2, dead: gpt2 + crash, wrong: 'gpt2 + raise', fine: llama}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms)
    (tmp_path / "x.yaml").write_text(text.replace("leave_one_out", "compare"))
    result = ablab("run", "x.yaml", "--plugins", "more", "--workers", 2, "--skip-checks")
    assert result.returncode == 1, result.stderr
    assert "4 of 8 runs failed" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    content = json.loads(ablab("report", "x", "--json").stdout)
    (part,) = content["parts"]
    counts = {a["name"]: a["n"] for a in part["arms"]}
    assert counts == {"base": 2, "dead": 0, "wrong": 0, "fine": 2}
    reasons = sorted(set(content["failed"].values()))
    assert reasons[0].startswith("RuntimeError: this model cannot run (plugin crash, raise, ")
    assert reasons[1].startswith("the worker process died (killed by SIGKILL")
    status = json.loads(ablab("status", "x", "--json").stdout)
    assert sorted(run["attempts"] for run in status["ended"]) == [
        1,
        1,
        2,
        2,
    ]  # what a model raises is not tried again
    effects = {e["name"]: e["estimate"] for e in part["effects"]}
    assert effects["dead"] is None
    assert effects["fine"] is not None


def test_a_diverged_arm_is_a_result(ablab, tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text.replace("leave_one_out", "compare"))
    result = ablab("run", "x.yaml", "recipe.lr=1e6", "recipe.clip=0")
    assert result.returncode == 0, result.stderr
    assert "diverged" in result.stdout.lower()
    (part,) = json.loads(ablab("report", "x", "--json").stdout)["parts"]
    assert part["effects"][0]["estimate"] is None


def test_a_tracker_that_does_not_answer_costs_no_run(ablab, tmp_path, study_text, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    text = (
        study_text.replace("leave_one_out", "compare") + "tracking: {uri: 'http://127.0.0.1:9'}\n"
    )
    (tmp_path / "x.yaml").write_text(text)
    result = ablab("run", "x.yaml")
    assert result.returncode == 0, result.stderr
    assert "MLflow is behind (http://127.0.0.1:9 does not answer" in result.stdout
