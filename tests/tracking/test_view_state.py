"""The saved view of a study in MLflow's pages: its form, and what it shows of the runs."""

import base64
import json
import re
import zlib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

import mlflow
from ablab.tracking.mlflow.study_page import view_of
from ablab.tracking.mlflow.view_state import TESTED_VERSIONS, StudyView
from tests.handmade import make_study

PAGES = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"


def run(arm, stage="run", seed="1", **params):
    tags = {"ablab.stage": stage}
    return SimpleNamespace(
        data=SimpleNamespace(tags=tags, params={"arm": arm, "seed": seed, **params})
    )


def plugin(name, options):
    return {f"plugin.{name}": options, f"with.{name}": "0" if options == "off" else "1"}


def view(*runs, **study):
    return view_of(runs, "parent", make_study(**study))


def inflated(value):
    return json.loads(zlib.decompress(base64.b64decode(value.removeprefix("deflate;"))))


@pytest.fixture
def two():
    common = plugin("adamw", "on")
    return view(
        run("gpt2", **common, **plugin("rope", "off")),
        run("gpt2 + rope", **common, **plugin("rope", "on")),
        run("gpt2", stage="trial", **common, **plugin("moe", "experts=2")),
    )


def test_runs_are_grouped_by_arm_and_ordered_by_the_metric(two):
    state = two.state()
    assert state["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "arm"}],
    }
    assert state["groupsExpanded"] == {"param.arm.gpt2": False, "param.arm.gpt2 + rope": False}
    assert state["orderByKey"] == "metrics.`final/val/bpb`"
    assert state["orderByAsc"]
    assert state["searchFilter"] == (
        "tags.`mlflow.parentRunId` = 'parent' and tags.`ablab.stage` = 'run'"
    )


def test_columns_are_results_and_what_differs_between_the_runs(two):
    assert two.state()["selectedColumns"] == [
        "metrics.`final/val/bpb`",
        "params.`with.rope`",
        "params.`seed`",
        "params.`arm`",
        "metrics.`cost/tokens_per_second`",
        "metrics.`cost/peak_memory_bytes`",
    ]


def test_charts_are_curves_the_results_and_the_plugins(two):
    line, bar, parallel = charts = two.state()["compareRunCharts"]
    assert (line["type"], line["metricKey"]) == ("LINE", "train/loss")
    assert (bar["type"], bar["metricKey"]) == ("BAR", "final/val/bpb")
    assert parallel["type"] == "PARALLEL"
    assert parallel["selectedParams"] == ["with.rope"]
    assert parallel["selectedMetrics"] == ["final/val/bpb"]
    assert len({chart["uuid"] for chart in charts}) == 3
    (section, *others) = two.state()["compareRunSections"]
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"]}
    assert section["display"]
    assert not any(other["display"] for other in others)


def test_a_metric_that_is_measured_on_the_way_has_a_curve():
    shown = view(run("gpt2"), validate_at=[0.5])
    assert list(shown.curves) == ["train/loss", "val/bpb"]


def test_options_that_differ_are_shown_as_text():
    shown = view(run("a", **plugin("moe", "experts=2")), run("b", **plugin("moe", "experts=4")))
    assert list(shown.params) == ["plugin.moe", "seed", "arm"]
    assert "PARALLEL" not in [chart["type"] for chart in shown.state()["compareRunCharts"]]


def test_arms_of_several_parts_are_groups_of_their_own():
    shown = view(run("gpt2", part="steps 4"), run("gpt2", part="steps 8"))
    assert list(shown.state()["groupsExpanded"]) == [
        "param.arm.gpt2,param.part.steps 4",
        "param.arm.gpt2,param.part.steps 8",
    ]


def test_a_search_without_runs_shows_its_trials():
    search = {"kind": "search", "changes": ["rope"], "objectives": ["val/bpb", "cost/flops"]}
    shown = view(run("gpt2", stage="trial"), design=search, to=None)
    assert shown.stage == "trial"
    assert list(shown.metrics)[:2] == ["final/val/bpb", "cost/flops"]


def test_the_value_is_compressed_and_accepted_for_many_arms(two):
    assert inflated(two.value()) == two.state()
    plugins = [f"plugin_{i}" for i in range(9)]
    arms = [" + ".join(name for i, name in enumerate(plugins) if n >> i & 1) for n in range(512)]
    many = view(*(run(arm or "gpt2") for arm in arms))
    assert len(many.groups) == 512
    assert len(many.value()) <= MAX_EXPERIMENT_TAG_VAL_LENGTH


@pytest.mark.skipif(
    version("mlflow").rpartition(".")[0] not in TESTED_VERSIONS, reason="another MLflow's pages"
)
def test_the_pages_of_mlflow_read_every_field(two):
    code = "".join(file.read_text() for file in sorted(PAGES.glob("*.js")))
    lists = re.findall(r'\["(?:selectedColumns|searchFilter)","[^]]*\]', code)
    known = {field for text in lists for field in json.loads(text)}
    assert two.state().keys() <= known
    assert '"mlflow.sharedViewState."' in code


def test_an_address_without_a_view_has_the_filter_and_the_order():
    shown = StudyView("id", "run", ["final/acc"], False, [], [], [], [])
    assert shown.plain_address == (
        "searchFilter=tags.%60mlflow.parentRunId%60+%3D+%27id%27+and+"
        "tags.%60ablab.stage%60+%3D+%27run%27"
        "&orderByKey=metrics.%60final%2Facc%60&orderByAsc=false"
    )
