"""What each arm of a study came to, and what its runs cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ablab.analysis.costs import Costs, cost_of
from ablab.analysis.effects import Results, means_of
from ablab.metrics import METRICS
from ablab.stats.effects import Estimate, mean_sd
from ablab.text.numbers import plain


@dataclass(frozen=True)
class ArmSummary:
    """An arm's results. `mean` is the metric's over seeds, adjusted for those that the arm lacks
    and others have, with its 95 % interval from `low` to `high` (see `stats.effects.arm_means`);
    `test` is adjusted alike, and `sd` is that of its own `values`. `flops`, `tokens` are of one
    run; `seconds`, `peak_memory_bytes` and, where the clock decides, `flops` and `tokens` are means
    over its runs. None: nothing finished; an arm with a diverged run has neither means nor `sd`.
    `cost`: mean costs by name (see `ablab.analysis.costs`). `tuned`: what tuning chose; None
    without, or until it has.
    """

    name: str
    mean: float | None
    sd: float | None
    n: int
    values: list[dict[str, Any]]
    test: float | None
    parameters: int
    tokens: float | None
    flops: float | None
    seconds: float | None
    tokens_per_second: float | None
    peak_memory_bytes: float | None
    diverged: list[int]
    cost: dict[str, float | None] = field(default_factory=dict)
    tuned: dict[str, Any] | None = None
    low: float | None = None
    high: float | None = None

    def told(self, places: int) -> str:
        """The mean in a table, or why there is none."""
        return "diverged" if self.diverged else plain(self.mean, places)


def arms_of(content: Mapping[str, Any], results: Results, costs: Costs) -> list[ArmSummary]:
    """The arms in the study's order. `content`: its record; `results`: of its finished runs, by
    key.
    """
    metric = content["config"]["metric"]
    means, tests = (means_of(content, results, of) for of in (metric, METRICS[metric].on("test")))
    made = []
    for arm in content["arms"]:
        name = arm["name"]
        runs = [
            (r["seed"], results[r["key"]])
            for r in content["runs"]
            if r["arm"] == name and r["key"] in results
        ]
        made.append(
            ArmSummary(
                name=name,
                parameters=arm["parameters"],
                test=tests[name].value if name in tests else None,
                **_values(runs, metric, means.get(name)),
                **_costs(arm, [result for _, result in runs]),
                cost=costs.of_arm(name),
            )
        )
    return made


def uneven(arms: Sequence[ArmSummary]) -> bool:
    """Whether some arms lack seeds that others have, for which their means are adjusted."""
    seeds = {
        frozenset(value["seed"] for value in arm.values) for arm in arms if arm.mean is not None
    }
    return any(a & b for a, b in combinations(seeds, 2))


def _values(
    runs: Sequence[tuple[int, Mapping[str, Any]]], metric: str, mean: Estimate | None
) -> dict[str, Any]:
    values = [
        {"seed": seed, "value": result["metrics"][metric]}
        for seed, result in runs
        if not result["diverged"]
    ]
    low, high = mean.interval() if mean is not None else (None, None)
    return {
        "values": values,
        "n": len(values),
        "diverged": [seed for seed, result in runs if result["diverged"]],
        "mean": mean.value if mean is not None else None,
        "low": low,
        "high": high,
        "sd": mean_sd([v["value"] for v in values])[1] if mean is not None else None,
    }


def _costs(arm: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def average(of: str) -> float | None:
        return mean_sd([value for result in results if (value := cost_of(result, of)) is not None])[
            0
        ]

    own = {name: average(name) for name in ("seconds", "tokens_per_second", "peak_memory_bytes")}
    if arm["tokens"] is None:
        return {**own, "tokens": average("tokens"), "flops": average("flops")}
    return {**own, "tokens": arm["tokens"], "flops": arm["tokens"] * arm["flops_per_token"]}
