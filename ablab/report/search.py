"""What a search found: its trials in order, and which of the best survive on fresh seeds."""

from collections.abc import Sequence

from ablab.analysis.arms import ArmSummary
from ablab.analysis.costs import uncompared
from ablab.analysis.summary import PartSummary
from ablab.analysis.trials import TrialSummary
from ablab.metrics import METRICS, Metric, goals
from ablab.report.ladder import Listing
from ablab.spec.search import Search
from ablab.text.numbers import digits, plain

_WHOLE = 1e9  # up to here a count is told in full


def is_search(summary: PartSummary) -> bool:
    """Return whether the study is a search that has begun."""
    return bool(summary.trials) and isinstance(summary.content.study.design, Search)


def survival(summary: PartSummary) -> list[str]:
    """Which of a search's confirmed arms survive on fresh seeds: known once all of their runs are
    in, and with an error term. Nothing of a study that is no search.
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
    if reasons := uncompared(summary.objectives, summary.not_compared):
        return [
            *lines,
            *(f"  {name} is not compared: {reason}" for name, reason in reasons.items()),
        ]
    return [
        *lines,
        "  beaten: another is better in one objective and worse in none, beyond the 95 % intervals",
    ]


def trials_listing(summary: PartSummary) -> Listing:
    """A search's trials, the best in the first objective at the top; among equals, in the next."""
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
    if (by := summary.survivors[arm.name]) is not None:
        return f"beaten by {by}"
    if uncompared(summary.objectives, summary.not_compared):
        return "not known"
    return (
        "survives"
        if summary.sd is not None or len(summary.survivors) == 1
        else "not known with one seed"
    )


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
        *(_told(objective, value, summary) for objective, value in pairs),
    ]


def _told(objective: str, value: float, summary: PartSummary) -> str:
    """With digits of the objective's own: those of the noise, all of a count, else four."""
    if objective == summary.metric:
        return plain(value, digits(summary.spread))
    return f"{value:,.0f}" if value == round(value) and abs(value) < _WHOLE else f"{value:.4g}"
