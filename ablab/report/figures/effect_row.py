"""An effect as a row of the data of a figure."""

from typing import Any

from ablab.analysis.effect_summary import EffectSummary


def effect_row(names: dict[str, str], effect: EffectSummary) -> dict[str, Any]:
    """Return a row with the columns `names`, which say what the effect is of, and its numbers."""
    return {
        **names,
        "estimate": effect.estimate,
        "low": effect.low,
        "high": effect.high,
        "verdict": effect.verdict,
    }
