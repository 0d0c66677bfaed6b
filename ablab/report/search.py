"""The results of a search: its trials in order, and which of the best survive on fresh seeds."""

from collections.abc import Sequence

from ablab.analysis.arms import ArmSummary
from ablab.analysis.costs import uncompared
from ablab.analysis.summary import PartSummary
from ablab.analysis.trials import TrialSummary
from ablab.metrics import METRICS, Metric, goals
from ablab.report.ladder import Listing
from ablab.spec.search import Search
from ablab.text.numbers import digits, plain

_MAX_EXACT = 1e9  # smaller whole numbers are shown in full


def is_search(summary: PartSummary) -> bool:
    """Return whether the study is a search that has begun."""
    return bool(summary.trials) and isinstance(summary.content.study.design, Search)


def survival(summary: PartSummary) -> list[str]:
    """Return which of the confirmed arms of a search survive on fresh seeds.

    This is known once all of their runs are finished, and with an error term. Empty for a study
    that is not a search.
    """
    if not is_search(summary):
        return []
    looked = f"{len(summary.trials)} trials looked for {goals(summary.objectives)}"
    if all(trial.values is None and trial.settled for trial in summary.trials):
        return [f"{looked}: no trial came to a value, so nothing is confirmed"]
    if not summary.survivors and len(summary.arms) < 2:
        return [f"{looked} so far: which are the best is not known yet"]
    lines = [f"{looked}; the best of them, trained again on fresh seeds:"]
    lines += [f"  {arm.name}: {_fate(arm, summary)}" for arm in summary.arms]
    reasons = uncompared(summary.objectives, summary.not_compared)
    if reasons:
        notes = [f"  {name} is not compared: {reason}" for name, reason in reasons.items()]
        return [*lines, *notes]
    return [
        *lines,
        "  beaten: another is better in one objective and worse in none, beyond the 95 % intervals",
    ]


def trials_listing(summary: PartSummary) -> Listing:
    """Return the trials of a search, sorted by the objectives in turn, the best first."""
    metrics = [METRICS[name] for name in summary.objectives]
    order = f"the {metrics[0].best_is} first" if metrics else "in order"
    title = f"Trials by {', then '.join(summary.objectives)} ({order})"
    ordered = sorted(summary.trials, key=lambda trial: _rank(trial, metrics))
    return Listing(
        title, ["arm", "trial", *summary.objectives], [_row(trial, summary) for trial in ordered]
    )


def _fate(arm: ArmSummary, summary: PartSummary) -> str:
    if arm.diverged:
        return "diverged"
    if arm.name not in summary.survivors:
        return "not known yet"
    winner = summary.survivors[arm.name]
    if winner is not None:
        return f"beaten by {winner}"
    if uncompared(summary.objectives, summary.not_compared):
        return "not known"
    if summary.sd is None and len(summary.survivors) != 1:
        return "not known with one seed"
    return "survives"


def _rank(trial: TrialSummary, metrics: Sequence[Metric]) -> tuple[bool, Sequence[float]]:
    values = zip(metrics, trial.values or (), strict=False)
    return trial.values is None, [metric.as_loss(value) for metric, value in values]


def _row(trial: TrialSummary, summary: PartSummary) -> list[str]:
    if trial.values is None:
        return [trial.arm, str(trial.number), trial.status, *["–"] * (len(summary.objectives) - 1)]
    pairs = zip(summary.objectives, trial.values, strict=True)
    return [
        trial.arm,
        str(trial.number),
        *(_format(objective, value, summary) for objective, value in pairs),
    ]


def _format(objective: str, value: float, summary: PartSummary) -> str:
    """Format a value: the metric by its noise, whole numbers in full, others with four digits."""
    if objective == summary.metric:
        return plain(value, digits(summary.spread))
    return f"{value:,.0f}" if value == round(value) and abs(value) < _MAX_EXACT else f"{value:.4g}"
