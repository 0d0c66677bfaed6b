"""The evidence on a change, in sentences."""

from collections.abc import Sequence

from ablab.evidence.conflicts import FACTOR_NAMES, Conflict, Separation
from ablab.evidence.pooling import ChangeEvidence, SettingResult
from ablab.report.meta.settings import level_text, setting_name
from ablab.stats.inference.verdicts import Verdict
from ablab.stats.meta_regression import Trend
from ablab.text.numbers import interval_digits, p_equation, signed
from ablab.text.truncate import in_a_line

_LEVEL = 0.05
_ALONE = "one setting says nothing about others"
_DEPENDENT = "the settings share runs, and say nothing about others"
_DID: dict[Verdict, str] = {
    "helps": "helped",
    "hurts": "hurt",
    "equivalent": "made no difference that matters",
    "inconclusive": "was inconclusive",
    "depends": "depended on a nuisance factor",
}


def mean_text(evidence: ChangeEvidence) -> str:
    """Return the mean over settings with its interval, as `−0.06 (−0.08 to −0.04)`."""
    pooled = evidence.pooled
    places = interval_digits(pooled.low, pooled.high)
    return f"{signed(pooled.estimate, places)} ({span(pooled.low, pooled.high, places)})"


def sentence(evidence: ChangeEvidence) -> str:
    """Return what the settings say, in one sentence."""
    pooled = evidence.pooled
    places = interval_digits(pooled.low, pooled.high)
    mean = signed(pooled.estimate, places)
    interval = f"95 % {span(pooled.low, pooled.high, places)}"
    clauses = [f"{evidence.change} {counts(evidence)}"]
    if pooled.clusters == 1:
        clauses.append(f"{mean} {evidence.metric.name} ({interval})")
        clauses.append(_ALONE if len(evidence.settings) == 1 else _DEPENDENT)
        return f"{'; '.join(clauses)}."
    clauses.append(f"{mean} {evidence.metric.name} on average ({interval})")
    if pooled.prediction is None:
        clauses.append("a prediction for a new setting needs three independent ones")
    else:
        low, high = pooled.prediction
        clauses.append(f"in a new one {mean} (95 % prediction {span(low, high, places)})")
    if evidence.trend is not None:
        clauses.append(trend_text(evidence.trend, pooled.estimate))
    return f"{'; '.join(clauses)}."


def counts(evidence: ChangeEvidence) -> str:
    """Return in how many settings a change helped, and what it did in the others."""
    numbers = {verdict: evidence.count(verdict) for verdict in _DID}
    texts = [f"{did} in {numbers[verdict]}" for verdict, did in _DID.items() if numbers[verdict]]
    total = len(evidence.settings)
    texts[0] += f" of {total} {'setting' if total == 1 else 'settings'}"
    return ", ".join(texts)


def trend_text(trend: Trend, mean: float) -> str:
    """Return how an effect changes with compute."""
    places = interval_digits(trend.low, trend.high)
    rate = (
        f"{signed(trend.slope, places)} per tenfold ({span(trend.low, trend.high, places)}; "
        f"p {p_equation(trend.p)})"
    )
    if trend.p >= _LEVEL:
        return f"no change with compute found: {rate}"
    word = "grows" if trend.slope * mean > 0 else "shrinks"
    return f"{word} with compute: {rate}"


def span(low: float, high: float, places: int) -> str:
    """Return an interval as `−0.08 to −0.04`."""
    return f"{signed(low, places)} to {signed(high, places)}"


def verdict_counts(evidence: ChangeEvidence) -> str:
    """Return the verdicts of all settings, as `2 × helps, 1 × equivalent`."""
    numbers = {verdict: evidence.count(verdict) for verdict in _DID}
    return ", ".join(f"{number} × {verdict}" for verdict, number in numbers.items() if number)


def spread_text(evidence: ChangeEvidence) -> str:
    """Return the spread between settings; empty with a single one."""
    pooled = evidence.pooled
    if pooled.tau is None or pooled.i2 is None:
        return ""
    share = f"{pooled.i2:.0%}".replace("%", " %")
    return (
        f"between settings: standard deviation {pooled.tau:.2g}, {share} of the variance of the "
        "estimates (I²)"
    )


def dependence_lines(evidence: ChangeEvidence) -> list[str]:
    """Return which settings share runs, which are replicated, and what the mean leaves out."""
    lines = []
    numbers: dict[int, list[int]] = {}
    for number, result in enumerate(evidence.settings, start=1):
        numbers.setdefault(result.cluster, []).append(number)
    for members in numbers.values():
        if len(members) > 1:
            lines.append(
                f"settings {', '.join(map(str, members))} share runs: their mean counts as one"
            )
    for number, result in enumerate(evidence.settings, start=1):
        if len(result.contrasts) > 1:
            names = in_a_line([origin_name(result, i) for i in range(len(result.contrasts))])
            lines.append(f"setting {number} is the mean of {names}")
    if any(not contrast.runs for contrast in evidence.contrasts):
        lines.append("contrasts whose runs are not known count as independent")
    if evidence.left_out:
        versions = sorted({contrast.origin.numerics for contrast in evidence.left_out})
        lines.append(
            f"{len(evidence.left_out)} contrast(s) of numerics version "
            f"{', '.join(map(str, versions))} are left out: train them again with this version"
        )
    return lines


def origin_name(result: SettingResult, index: int) -> str:
    """Return the study, the revision and the part of a contrast."""
    origin = result.contrasts[index].origin
    name = f"{origin.study}:{origin.revision[:4]}" if origin.revision else origin.study
    return f"{name} ({origin.part})" if origin.part else name


def conflict_lines(conflict: Conflict) -> list[str]:
    """Return where a change helps and where it hurts, and hypotheses on what separates the two."""
    sides = [
        in_a_line([setting_name(result) for result in side])
        for side in (conflict.helps, conflict.hurts)
    ]
    lines = [f"Conflict: {conflict.change} helps in {sides[0]}, and hurts in {sides[1]}."]
    if not conflict.separations:
        return [*lines, "No recorded factor separates these settings."]
    texts = [_separation(separation) for separation in conflict.separations]
    one = "What separates them" if len(texts) == 1 else "Each of these separates them"
    return [*lines, f"{one}, as a hypothesis: {'; '.join(texts)}."]


def _separation(separation: Separation) -> str:
    helps, hurts = (
        _levels(separation.factor, levels) for levels in (separation.helps, separation.hurts)
    )
    return f"{FACTOR_NAMES[separation.factor]} (helps: {helps}; hurts: {hurts})"


def _levels(factor: str, levels: Sequence[object]) -> str:
    return in_a_line([level_text(factor, level) for level in levels])
