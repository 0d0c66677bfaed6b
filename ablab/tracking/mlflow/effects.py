"""The effects of a study on its parent run: metrics, by which studies are compared, and a table."""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ablab.tracking.mlflow.metrics import log_metrics
from ablab.tracking.mlflow.store import Store, set_tags

if TYPE_CHECKING:
    from ablab.analysis.effect_summary import EffectSummary
    from ablab.analysis.summary import PartSummary, StudySummary

TABLE = "effects.json"
# The estimate and the ends of its interval. None of the names is a path below another one, which
# stores that keep metrics as files could not hold.
_KINDS = {"effect": "estimate", "effect_low": "low", "effect_high": "high"}
_COLUMNS = ("estimate", "low", "high", "p", "p_holm", "verdict", "seeds")
_TABLES = "mlflow.loggedArtifacts"  # the tag that names the tables that MLflow's pages can show
_MAX_NAME = 200  # MLflow accepts 250 characters for a metric, prefix included
_SPELLINGS = ((" + ", " and "), ("×", "x"), ("e+", "e"))
_REFUSED = re.compile(r"[^\w.\- :]|^\.*$")


def log_effects(store: Store, parent: str, summary: "StudySummary") -> None:
    """Log the effects of a study, in place of those that its parent run has."""
    replace_effects(store, parent, effect_metrics(summary))
    store.client.log_dict(parent, effects_table(summary), TABLE)
    set_tags(store, parent, {_TABLES: json.dumps([{"path": TABLE, "type": "table"}])})


def replace_effects(store: Store, parent: str, effects: Mapping[str, float]) -> None:
    """Log those of `effects` that differ from what the parent run has.

    An effect that is not among them becomes NaN, because MLflow cannot delete metrics.
    """
    logged = store.client.get_run(parent).data.metrics
    values = {**dict.fromkeys(logged, math.nan), **effects}
    changed = {
        name: value
        for name, value in values.items()
        if name not in logged or not _same(logged[name], value)
    }
    log_metrics(store, parent, [{"step": 0, "time": time.time(), **changed}])


def effect_metrics(summary: "StudySummary") -> dict[str, float]:
    """Return the effects that are estimated, by the names of their metrics."""
    effects = {_name(part, effect): effect for part, effect in _effects(summary)}
    names = metric_names(effects)
    values = {
        f"{kind}/{names[name]}": getattr(effect, field)
        for name, effect in effects.items()
        for kind, field in _KINDS.items()
    }
    return {name: v for name, v in values.items() if v is not None and math.isfinite(v)}


def effects_table(summary: "StudySummary") -> dict[str, list[Any]]:
    """Return the effects in the form of `MlflowClient.log_table`."""
    rows = [
        [part.label, part.metric, e.title, e.kind, *(_plain(getattr(e, name)) for name in _COLUMNS)]
        for part, e in _effects(summary)
    ]
    return {"columns": ["part", "metric", "change", "kind", *_COLUMNS], "data": rows}


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Return each of `names` in letters that MLflow accepts for metrics; no two become the same."""
    legal: dict[str, str] = {}
    for name in names:
        text = name
        for sign, spelling in _SPELLINGS:
            text = text.replace(sign, spelling)
        text = _REFUSED.sub("_", text)
        if len(text) > _MAX_NAME or text in legal.values():
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            text = f"{text[:_MAX_NAME]} {digest}"
        legal[name] = text
    return legal


def _effects(summary: "StudySummary") -> "Iterator[tuple[PartSummary, EffectSummary]]":
    for part in summary.parts:
        for effect in part.effects_by_size:
            yield part, effect


def _name(part: "PartSummary", effect: "EffectSummary") -> str:
    return f"{part.label}: {effect.name}" if part.label else effect.name


def _same(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
