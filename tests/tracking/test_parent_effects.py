"""The effects of a study on its parent run in MLflow."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow.utils.validation import _validate_metric_name

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import Progress, StudySummary
from ablab.tracking.mlflow.effects import (
    effect_metrics,
    effects_table,
    log_effects,
    metric_names,
)
from ablab.tracking.mlflow.parents import open_parent
from ablab.tracking.mlflow.store import open_store
from tests.handmade import make_arm, make_content, make_part, make_study, make_summary

# MLflow's and SQLAlchemy's own warnings, where the store is read in this process.
pytestmark = pytest.mark.filterwarnings("ignore")

ROPE = EffectSummary(
    "rope", "change", -0.3, -0.4, -0.2, 0.001, p_holm=0.002, verdict="helps", seeds=6
)


def summary(*effects_by_part, labels=("",)):
    arms = [make_arm("gpt2")]
    contents = [make_part(make_study(), arms, [], [], label=label) for label in labels]
    parts = [
        make_summary(content, effects=list(effects))
        for content, effects in zip(contents, effects_by_part, strict=True)
    ]
    return StudySummary(
        content=make_content(*contents),
        progress=Progress(0, 0, {}, []),
        parts=parts,
        across=None,
        time=None,
        wall_seconds=None,
        workers=None,
        results={},
    )


def test_estimates_and_intervals_are_metrics():
    assert effect_metrics(summary([ROPE])) == {
        "effect/rope": -0.3,
        "effect_low/rope": -0.4,
        "effect_high/rope": -0.2,
    }


def test_what_is_not_known_is_no_metric():
    unknown = EffectSummary("rope", "change", None, None, None, None)
    infinite = EffectSummary("swiglu", "change", 0.1, -math.inf, math.inf, None)
    assert effect_metrics(summary([unknown, infinite])) == {"effect/swiglu": 0.1}


def test_each_part_has_effects_of_its_own():
    parts = summary([ROPE], [replace(ROPE, estimate=0.1)], labels=("flops 2e+11", "flops 4e+11"))
    metrics = effect_metrics(parts)
    assert metrics["effect/flops 2e11: rope"] == -0.3
    assert metrics["effect/flops 4e11: rope"] == 0.1


NAMES = {
    "rope": "rope",
    "- scaled_init": "- scaled_init",
    "llama vs gpt2": "llama vs gpt2",
    "gpt2 + rope": "gpt2 and rope",
    "no_bias × rope": "no_bias x rope",
    "moe(experts=4)": "moe_experts_4_",
    "data(path=/a//b)": "data_path__a__b_",
    "..": "_",
    "": "_ ",
}


def test_names_are_spelled_as_mlflow_accepts_them():
    names = metric_names(NAMES)
    assert {name: text for name, text in names.items() if name} == {
        name: text for name, text in NAMES.items() if name
    }
    for text in names.values():
        _validate_metric_name(f"effect_high/{text}")


def test_names_that_would_be_the_same_or_too_long_are_told_apart():
    names = ["a(b=1)", "a[b=1]", "x" * 300, "x" * 299 + "y"]
    texts = metric_names(names)
    assert len(set(texts.values())) == len(names)
    assert texts["a(b=1)"] == "a_b_1_"
    for text in texts.values():
        _validate_metric_name(f"effect_high/{text}")


def test_the_table_has_a_row_for_each_effect():
    table = effects_table(summary([ROPE, replace(ROPE, name="swiglu", high=math.inf)]))
    assert table["columns"][:5] == ["part", "metric", "change", "kind", "estimate"]
    first, second = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    assert first == {
        "part": "",
        "metric": "val/bpb",
        "change": "rope",
        "kind": "change",
        "estimate": -0.3,
        "low": -0.4,
        "high": -0.2,
        "p": 0.001,
        "p_holm": 0.002,
        "verdict": "helps",
        "seeds": 6,
    }
    assert second["high"] is None


@pytest.mark.slow
def test_effects_are_replaced_where_they_changed(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    parent = open_parent(store, "x", {})
    client = store.client
    other = replace(ROPE, name="swiglu")
    log_effects(store, parent, summary([ROPE, other]))
    log_effects(store, parent, summary([ROPE, other]))
    assert len(client.get_metric_history(parent, "effect/rope")) == 1
    log_effects(store, parent, summary([replace(ROPE, estimate=-0.1)]))
    log_effects(store, parent, summary([replace(ROPE, estimate=-0.1)]))
    metrics = client.get_run(parent).data.metrics
    assert metrics["effect/rope"] == -0.1
    assert metrics["effect_low/rope"] == -0.4
    assert math.isnan(metrics["effect/swiglu"])  # this study has no such effect any more
    assert len(client.get_metric_history(parent, "effect/swiglu")) == 2
    tables = json.loads(client.get_run(parent).data.tags["mlflow.loggedArtifacts"])
    assert tables == [{"path": "effects.json", "type": "table"}]  # as `log_table` writes it
    file = Path(client.download_artifacts(parent, "effects.json", str(tmp_path)))
    table = pd.read_json(file, orient="split")  # as `load_table` reads it
    assert table["change"].tolist() == ["rope"]
