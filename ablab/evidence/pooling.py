"""What all contrasts on one change say together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ablab.errors import UserError, unknown
from ablab.evidence.contrast import EvidenceContrast, Setting
from ablab.metrics import METRICS, Metric
from ablab.stats.inference.verdicts import Verdict
from ablab.stats.meta import (
    Measured,
    Pooled,
    clusters_of,
    combined,
    correlations,
    pool,
)
from ablab.stats.meta_regression import Trend, trend

_SMALLEST_SPAN = math.log10(2)  # of compute, for a trend


@dataclass(frozen=True)
class SettingResult:
    """The effect of a change in one setting, from one study or several."""

    setting: Setting
    """The setting."""
    contrasts: tuple[EvidenceContrast, ...]
    """Its contrasts: replications of each other, if there are several."""
    measured: Measured
    """Their mean."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    verdict: Verdict
    """Verdict of the study; of several, what the interval of their mean says."""
    cluster: int
    """Number of the cluster: settings of one share runs."""

    @property
    def estimate(self) -> float:
        """Estimate in the metric's units."""
        return self.measured.estimate


@dataclass(frozen=True)
class ChangeEvidence:
    """The evidence on a change, in one metric."""

    change: str
    """The change."""
    metric: Metric
    """The metric."""
    settings: tuple[SettingResult, ...]
    """Results by setting, in the order of compute."""
    pooled: Pooled
    """Mean over settings."""
    trend: Trend | None
    """Slope per tenfold of training compute; None where there are too few settings."""
    left_out: tuple[EvidenceContrast, ...] = ()
    """Contrasts of earlier versions of the numerics, which the mean does not include."""

    @cached_property
    def contrasts(self) -> tuple[EvidenceContrast, ...]:
        """All contrasts that the mean includes."""
        return tuple(each for result in self.settings for each in result.contrasts)

    def count(self, verdict: Verdict) -> int:
        """Return the number of settings with a verdict."""
        return sum(result.verdict == verdict for result in self.settings)

    @property
    def is_independent(self) -> bool:
        """Whether no two settings share runs."""
        return len({result.cluster for result in self.settings}) == len(self.settings)


def evidence_on(
    contrasts: Sequence[EvidenceContrast], changes: Sequence[str] = (), metric: str | None = None
) -> list[ChangeEvidence]:
    """Return the evidence on changes, or on all, in the order of names.

    A change is named by its text (`swiglu for relu`), or by the plugin that it adds, which means
    all of its options and of what it replaces.

    Raises:
        UserError: if a change or the metric is unknown, or if contrasts differ in their metric.

    """
    known = sorted({contrast.change for contrast in contrasts})
    chosen = [name for name in known if not changes or any(_means(c, name) for c in changes)]
    for change in changes:
        if not any(_means(change, name) for name in known):
            names = {*known, *(_plugin(name) for name in known)}
            raise unknown("change with evidence", change, names)
    selected = [contrast for contrast in contrasts if contrast.change in chosen]
    selected = _of_one_metric(selected, metric)
    by_change: dict[str, list[EvidenceContrast]] = {}
    for contrast in selected:
        by_change.setdefault(contrast.change, []).append(contrast)
    return [change_evidence(by_change[name]) for name in chosen if name in by_change]


def _means(word: str, change: str) -> bool:
    return " ".join(word.split()) in (change, _plugin(change))


def _plugin(change: str) -> str:
    """Return the plugin that a change of a single one adds, without options; else the change."""
    added = change.partition(" for ")[0]
    return change if " " in added else added.partition("(")[0]


def _of_one_metric(
    contrasts: Sequence[EvidenceContrast], metric: str | None
) -> list[EvidenceContrast]:
    metrics = sorted({contrast.metric for contrast in contrasts})
    if metric is not None and metric not in metrics:
        raise unknown("metric of these contrasts", metric, metrics)
    if metric is None and len(metrics) > 1:
        ways = " or ".join(f"--metric {name}" for name in metrics)
        raise UserError(
            f"the contrasts are in unlike metrics, which have no common mean: choose {ways}"
        )
    chosen = [contrast for contrast in contrasts if metric in (None, contrast.metric)]
    name = chosen[0].metric if chosen else ""
    tokenizers = {contrast.setting.tokenizer for contrast in chosen}
    if name and not METRICS[name].tokenizer_independent and len(tokenizers) > 1:
        raise UserError(
            f"{name} of unlike tokenizers has no common mean: name one change whose studies have "
            "one tokenizer, or judge the studies by val/bpb"
        )
    return chosen


def change_evidence(contrasts: Sequence[EvidenceContrast]) -> ChangeEvidence:
    """Return the evidence from contrasts on one change in one metric."""
    current = max(contrast.origin.numerics for contrast in contrasts)
    included = [contrast for contrast in contrasts if contrast.origin.numerics == current]
    left_out = tuple(c for c in contrasts if c.origin.numerics != current)
    correlation = correlations([contrast.runs for contrast in included])
    identities = [contrast.setting.identity for contrast in included]
    clusters = clusters_of(correlation, identities)
    results: list[SettingResult] = []
    for number, members in enumerate(clusters, start=1):
        for group in _groups(members, identities):
            results.append(
                _setting_result([included[i] for i in group], correlation, group, number)
            )
    pooled = [
        combined([included[i].measured for i in members], correlation[np.ix_(members, members)])
        for members in clusters
    ]
    return ChangeEvidence(
        change=included[0].change,
        metric=METRICS[included[0].metric],
        settings=tuple(sorted(results, key=_order)),
        pooled=pool(pooled, [result.estimate for result in results]),
        trend=_trend(included, clusters, pooled),
        left_out=left_out,
    )


def _groups(members: Iterable[int], identities: Sequence[object]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for member in members:
        groups.setdefault(identities[member], []).append(member)
    return list(groups.values())


def _setting_result(
    contrasts: Sequence[EvidenceContrast],
    correlation: np.ndarray,
    group: Sequence[int],
    cluster: int,
) -> SettingResult:
    first = contrasts[0]
    measured = combined([c.measured for c in contrasts], correlation[np.ix_(group, group)])
    low, high, verdict = first.low, first.high, first.verdict
    if len(contrasts) > 1:
        low, high = measured.interval()
        verdict = _verdict(low, high, first)
    return SettingResult(first.setting, tuple(contrasts), measured, low, high, verdict, cluster)


def _verdict(low: float, high: float, contrast: EvidenceContrast) -> Verdict:
    """Return what an interval says, by the margin of the study."""
    margin = contrast.margin or 0.0
    if -margin < low and high < margin:
        return "equivalent"
    if low <= 0 <= high:
        return "inconclusive"
    better = METRICS[contrast.metric].sign * low > 0
    return "helps" if better else "hurts"


def _order(result: SettingResult) -> tuple[float, str]:
    return (result.setting.compute or math.inf, result.contrasts[0].origin.name)


def _trend(
    contrasts: Sequence[EvidenceContrast],
    clusters: Sequence[Sequence[int]],
    pooled: Sequence[Measured],
) -> Trend | None:
    """Return the slope on log₁₀ of the compute, over the clusters whose compute is known, or None
    if it differs too little between them.
    """
    places = []
    kept = []
    for members, measured in zip(clusters, pooled, strict=True):
        computes = [contrasts[i].setting.compute for i in members]
        known = [math.log10(compute) for compute in computes if compute]
        if len(known) == len(computes):
            places.append(sum(known) / len(known))
            kept.append(measured)
    if not kept or max(places) - min(places) < _SMALLEST_SPAN:
        return None
    return trend(kept, places)
