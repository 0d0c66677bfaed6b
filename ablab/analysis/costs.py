"""What changes cost: time, memory, decoding speed, cache, parameters and FLOPs, as ratios, in words
and as a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

from ablab.analysis.scope import own_tokenizers
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.stats.costs import Ratio, log_fit, measured_ratio, ratio
from ablab.stats.effects import Fit

if TYPE_CHECKING:
    from ablab.analysis.effects import EffectSummary

TIMED = ("seconds_per_token", "decode_tokens_per_second")
OF_RUNS = (*TIMED, "peak_memory_bytes", "kv_cache_bytes")
OF_ARMS = ("parameters", "flops_per_token")
COSTS = (
    "seconds_per_token",
    "peak_memory_bytes",
    "decode_tokens_per_second",
    "kv_cache_bytes",
    *OF_ARMS,
)
ONE_PROCESS = "1 process"
PER_TOKEN = (*TIMED, "flops_per_token")
TOKENS = "tokens differ"
UNLIKE = "runs were carried out on unlike devices, layouts or numbers of threads"


@dataclass(frozen=True)
class Costs:
    """A study's costs: `means` over runs, by cost and arm, and of the timed ones the fit to their
    logarithms. `alike`: whether all runs were carried out alike, so that their costs compare.
    `first`: by arm, the first of equal value, which alone is in the fits: the same run counts once.
    `tokenizers`: by arm, that of its own; a token of one is not a token of another.
    """

    means: Mapping[str, Mapping[str, float | None]]
    fits: Mapping[str, Fit | None] = field(default_factory=dict)
    alike: bool = True
    first: Mapping[str, str] = field(default_factory=dict)
    tokenizers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> "Costs":
        """From a study's record and its runs' results by key; one that diverged has its costs
        too.
        """
        runs = [
            (run["arm"], run["seed"], results[run["key"]])
            for run in content["runs"]
            if run["key"] in results
        ]
        arms, first = [arm["name"] for arm in content["arms"]], first_by_runs(content["runs"])
        means: dict[str, dict[str, float | None]] = {}
        fits: dict[str, Fit | None] = {}
        for name in OF_ARMS:
            means[name] = {arm["name"]: arm[name] for arm in content["arms"]}
        for name in (*OF_RUNS, "seconds", "tokens"):
            cells = {(arm, seed): cost_of(result, name) for arm, seed, result in runs}
            means[name] = {
                arm: _mean([value for (of, _), value in cells.items() if of == arm]) for arm in arms
            }
            if name in TIMED:
                # Where one run lacks a figure, its arm has none: the others' seeds may be the fast
                # ones.
                own = {cell: value for cell, value in cells.items() if first[cell[0]] == cell[0]}
                fits[name] = log_fit(
                    {cell: nan if value is None else value for cell, value in own.items()}
                )
        settings = {
            (result["device"], result.get("layout", ONE_PROCESS), result["threads"])
            for _, _, result in runs
        }
        return cls(means, fits, len(settings) <= 1, first, own_tokenizers(content["arms"]))

    @property
    def notes(self) -> list[str]:
        """What a reader must know of them."""
        unlike = [] if self.alike else [f"costs of runs are not compared: {UNLIKE}"]
        return (
            [*unlike, f"costs per token are not compared between unlike tokenizers: {TOKENS}"]
            if self._mixed
            else unlike
        )

    @property
    def apart(self) -> dict[str, str]:
        """By cost, why it is not compared between arms."""
        found: dict[str, str] = dict.fromkeys((*PER_TOKEN, "tokens"), TOKENS) if self._mixed else {}
        return found if self.alike else {**found, **dict.fromkeys(("seconds", *OF_RUNS), UNLIKE)}

    @property
    def _mixed(self) -> bool:
        return len(set(self.tokenizers.values())) > 1

    def of_arm(self, arm: str) -> dict[str, float | None]:
        """The arm's mean costs by name, with `seconds` and `tokens` of a run."""
        return {name: by_arm.get(arm) for name, by_arm in self.means.items()}

    def ratios(self, contrast: Mapping[str, Any]) -> dict[str, Ratio]:
        """A contrast's ratios by cost; none for an interaction."""
        return (
            {}
            if contrast["kind"] == "interaction"
            else {name: self._ratio(name, contrast) for name in COSTS}
        )

    def of_effect(self, contrast: Mapping[str, Any]) -> dict[str, Any]:
        """The same as an effect's summary holds it, in plain JSON types."""
        found = self.ratios(contrast)
        known = {
            name: None if r.low is None or r.high is None else (r.low, r.high)
            for name, r in found.items()
            if name in TIMED
        }
        reasons = {name: r.why for name, r in found.items() if r.why}
        return {
            "costs": {name: r.value for name, r in found.items()},
            "cost_intervals": known,
            "cost_reasons": reasons,
        }

    def _ratio(self, name: str, contrast: Mapping[str, Any]) -> Ratio:
        # Where the weights cancel for each tokenizer, tokens are held against their like alone.
        if name in PER_TOKEN and merged(contrast["weights"], self.tokenizers):
            return Ratio(None, why=TOKENS)
        if name in OF_RUNS and not self.alike:
            return Ratio(None)
        if (fitted := self.fits.get(name)) is None:
            return (
                Ratio(None) if name in self.fits else ratio(self.means[name], contrast["weights"])
            )
        if weights := merged(contrast["weights"], self.first):
            return measured_ratio(
                fitted,
                weights,
                parts=[merged(part, self.first) for part in contrast.get("parts", ())],
            )
        # Of arms of equal value, which are known to cost the same where their cost is known.
        known = all(self.first.get(arm, arm) in fitted.arms for arm in contrast["weights"])
        return Ratio(1.0, 1.0, 1.0) if known else Ratio(None)


def uncompared(objectives: Sequence[str], apart: Mapping[str, str]) -> dict[str, str]:
    """Those of a search's objectives that are costs which are not compared, each with the
    reason.
    """
    reasons = {name: apart.get(name.removeprefix("cost/")) for name in objectives}
    return {name: reason for name, reason in reasons.items() if reason}


def cost_of(result: Mapping[str, Any], name: str) -> float | None:
    """One of a run's costs; None for one that it did not measure, as earlier versions didn't."""
    cost = result["cost"]
    if name == "seconds_per_token":
        return 1 / cost["tokens_per_second"] if cost["tokens_per_second"] else None
    if name == "peak_memory_bytes" and result["device"] == "cpu" and "kv_cache_bytes" not in cost:
        return None  # then the worker's resident memory, which earlier runs had raised
    return cost.get(name)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def ratios_of(effect: "EffectSummary") -> dict[str, Ratio]:
    """The effect's ratios by cost, with their intervals, or why there are none."""
    ends = {name: effect.cost_intervals.get(name) or (None, None) for name in effect.costs}
    return {
        name: Ratio(value, *ends[name], effect.cost_reasons.get(name, ""))
        for name, value in effect.costs.items()
    }
