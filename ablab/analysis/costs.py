"""Costs of arms and changes: time, memory, decoding speed, cache, parameters and FLOPs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablab.analysis.result_table import ResultTable
from ablab.analysis.timings import TIMED, Timings
from ablab.design.layout import Contrast
from ablab.plan.equal_arms import merged
from ablab.records.params import parameters
from ablab.records.study_content import Arm, PartContent
from ablab.stats.costs import Ratio, log_table, measured_ratio, ratio
from ablab.stats.inference.table import Table
from ablab.train.result import RunResult

OF_RUNS = ("peak_memory_bytes", "kv_cache_bytes")
OF_ARMS = ("parameters", "flops_per_token")
COSTS = (
    "seconds_per_token",
    "peak_memory_bytes",
    "decode_tokens_per_second",
    "kv_cache_bytes",
    *OF_ARMS,
)
PER_TOKEN = (*TIMED, "flops_per_token")
# Reasons why a cost is not compared.
TOKENS = "tokens differ"
UNLIKE = "runs were carried out on unlike devices, layouts or numbers of threads"


@dataclass(frozen=True)
class Costs:
    """The costs of a study's arms."""

    means: Mapping[str, Mapping[str, float | None]]
    """Means over runs, by cost and arm."""
    logs: Mapping[str, Table | None] = field(default_factory=dict)
    """Of the timed costs, their logarithms by (arm, round). Of arms that take the same time only
    the first is in it.
    """
    comparable: bool = True
    """Whether all runs were carried out on the same devices, layout and number of threads."""
    timed_as: Mapping[str, str] = field(default_factory=dict)
    """By arm, the first arm that takes the same time."""
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """By arm, the tokenizer that replaces that of the study. Tokens of unlike tokenizers are not
    compared.
    """
    timing_notes: Sequence[str] = ()
    """Notes on how the timed costs came about."""

    @classmethod
    def of(cls, part: PartContent, table: ResultTable, timings: Timings) -> "Costs":
        """Return the costs of a part of a study. A diverged run has its costs too."""
        means: dict[str, dict[str, float | None]] = {}
        logs: dict[str, Table | None] = {}
        for name in OF_ARMS:
            means[name] = {arm.name: getattr(arm, name) for arm in part.arms}
        for name in (*OF_RUNS, "seconds", "tokens"):
            cells = {(run.arm, run.seed): cost_of(result, name) for run, result in table.finished}
            means[name] = _means(table.arms, cells)
        for name in TIMED:
            timed = timings.cells.get(name, {})
            means[name] = _means(table.arms, timed)
            logs[name] = log_table(
                {cell: value for cell, value in timed.items() if timings.first[cell[0]] == cell[0]}
            )
        settings = {(r.device, r.layout, r.threads) for _, r in table.finished}
        tokenizers = tokenizers_of(part.arms)
        return cls(means, logs, len(settings) <= 1, timings.first, tokenizers, timings.notes)

    @property
    def notes(self) -> list[str]:
        """Notes for the reader of a report."""
        notes = list(self.timing_notes)
        if not self.comparable:
            notes.append(f"costs of runs are not compared: {UNLIKE}")
        if self._tokenizers_differ:
            notes.append(f"costs per token are not compared between unlike tokenizers: {TOKENS}")
        return notes

    @property
    def not_compared(self) -> dict[str, str]:
        """By cost, why it is not compared between arms."""
        reasons: dict[str, str] = {}
        if self._tokenizers_differ:
            reasons |= dict.fromkeys((*PER_TOKEN, "tokens"), TOKENS)
        if not self.comparable:
            reasons |= dict.fromkeys(("seconds", *OF_RUNS), UNLIKE)
        return reasons

    @property
    def _tokenizers_differ(self) -> bool:
        return len(set(self.tokenizers.values())) > 1

    def of_arm(self, arm: str) -> dict[str, float | None]:
        """Return an arm's mean costs by name, with `seconds` and `tokens` of a run."""
        return {name: by_arm.get(arm) for name, by_arm in self.means.items()}

    def ratios(self, contrast: Contrast) -> dict[str, Ratio]:
        """Return a contrast's ratios by cost; empty for an interaction."""
        if contrast.kind == "interaction":
            return {}
        return {name: self._ratio(name, contrast) for name in COSTS}

    def of_effect(self, contrast: Contrast) -> dict[str, Any]:
        """Return the same as the cost fields of `EffectSummary`."""
        ratios = self.ratios(contrast)
        intervals = {
            name: None if r.low is None or r.high is None else (r.low, r.high)
            for name, r in ratios.items()
            if name in TIMED
        }
        return {
            "costs": {name: r.value for name, r in ratios.items()},
            "cost_intervals": intervals,
            "cost_reasons": {name: r.why for name, r in ratios.items() if r.why},
        }

    def _ratio(self, name: str, contrast: Contrast) -> Ratio:
        # If the weights cancel for each tokenizer, only tokens of the same tokenizer are compared.
        if name in PER_TOKEN and merged(contrast.weights, self.tokenizers):
            return Ratio(None, why=TOKENS)
        if name in OF_RUNS and not self.comparable:
            return Ratio(None)
        if name not in TIMED:
            return ratio(self.means[name], contrast.weights)
        logs = self.logs.get(name)
        if logs is None:
            return Ratio(None)
        weights = merged(contrast.weights, self.timed_as)
        if weights:
            parts = [merged(part, self.timed_as) for part in contrast.parts]
            return measured_ratio(logs, weights, parts)
        # The arms take the same time, provided that they were timed.
        is_timed = all(self.timed_as.get(arm, arm) in logs.index for arm in contrast.weights)
        return Ratio(1.0, 1.0, 1.0) if is_timed else Ratio(None)


def tokenizers_of(arms: Sequence[Arm]) -> dict[str, str]:
    """Return, by arm, the tokenizer that replaces that of the study; empty if none does."""
    return {arm.name: _tokenizer(**arm.data.get("tokenizer", {})) for arm in arms}


def _tokenizer(kind: str = "", **options: Any) -> str:
    return f"{kind} ({parameters(options)})" if options else kind


def uncompared(objectives: Sequence[str], not_compared: Mapping[str, str]) -> dict[str, str]:
    """Return the objectives of a search that are not compared between arms, with the reason."""
    reasons = {name: not_compared.get(name.removeprefix("cost/")) for name in objectives}
    return {name: reason for name, reason in reasons.items() if reason}


def cost_of(result: RunResult, name: str) -> float | None:
    """Return one of a run's costs; None if it was not measured."""
    return getattr(result.cost, name)


def _means(
    arms: Sequence[str], cells: Mapping[tuple[str, int], float | None]
) -> dict[str, float | None]:
    return {arm: _mean([value for (of, _), value in cells.items() if of == arm]) for arm in arms}


def _mean(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    if not measured or len(measured) < len(values):
        return None
    return sum(measured) / len(measured)
