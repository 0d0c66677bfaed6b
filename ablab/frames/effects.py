"""The effects of a study as a frame."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from ablab.analysis.costs import COSTS
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.analysis.timings import TIMED
from ablab.frames.table import COUNT, FLAG, NUMBER, TEXT, make_frame
from ablab.stats.effects import Effect

_ESTIMATE = {field.name: NUMBER for field in fields(Effect)}
_RECIPE = {**_ESTIMATE, "p_holm": NUMBER, "verdict": TEXT}
_COLUMNS = {
    "part": TEXT,
    "metric": TEXT,
    "name": TEXT,
    "kind": TEXT,
    "estimate": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "p": NUMBER,
    "p_holm": NUMBER,
    "margin": NUMBER,
    "verdict": TEXT,
    "real": FLAG,
    "seeds": COUNT,
    "seeds_needed": COUNT,
    "missing": FLAG,
    "unpaired": FLAG,
    "aliases": TEXT,
    "sampling_se": NUMBER,
    "document_error": NUMBER,
    "documents": COUNT,
    **{f"costs.{cost}": NUMBER for cost in COSTS},
    **{f"cost_intervals.{cost}.{end}": NUMBER for cost in TIMED for end in ("low", "high")},
    **{f"cost_reasons.{cost}": TEXT for cost in COSTS},
    **{f"paired.{name}": kind for name, kind in _ESTIMATE.items()},
    "shared.seeds": COUNT,
    **{f"shared.{of}.{name}": kind for of in ("one", "own") for name, kind in _RECIPE.items()},
}


def effects_frame(summary: StudySummary) -> pd.DataFrame:
    """Return one row per effect and part of a study, with the names of the report's JSON.

    The turns and dependences of an effect, which are lists, are in its `EffectSummary` alone.
    """
    rows = [_row(part, effect) for part in summary.parts for effect in part.effects_by_size]
    return make_frame(rows, _COLUMNS)


def _row(part: PartSummary, effect: EffectSummary) -> Mapping[str, Any]:
    intervals = {
        cost: dict(zip(("low", "high"), interval, strict=True))
        for cost, interval in effect.cost_intervals.items()
        if interval is not None
    }
    return {
        **effect.as_json(),
        "part": part.label,
        "metric": part.metric,
        "aliases": ", ".join(effect.aliases),
        "cost_intervals": intervals,
    }
