"""Gathers a study's figures from its run records, and estimates its effects."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablab.report.parts import across
from ablab.report.trials import ArmTuning, TrialSummary, objectives_of, trials_of, tuning
from ablab.stats.effects import Effect, effect, fit, mean_sd
from ablab.stats.front import beaten
from ablab.study.home import StudyRecord
from ablab.study.records import Record, figure, settled_keys

_ONE_PROCESS = "1 process"


@dataclass(frozen=True)
class ArmSummary:
    """An arm's results. `mean` and `sd` are of the metric over seeds; `flops`, `tokens` of one run; `seconds` and
    `peak_memory_bytes` are means over its runs. None: nothing finished.
    """

    name: str
    mean: float | None
    sd: float | None
    n: int
    values: list[dict[str, Any]]
    test: float | None
    parameters: int
    tokens: int
    flops: float
    seconds: float | None
    tokens_per_second: float | None
    peak_memory_bytes: float | None
    diverged: list[int]


@dataclass(frozen=True)
class EffectSummary:
    """A change's effect on the metric: with the change minus without. `aliases`: effects that the arms cannot tell from it.
    `sampling_se`: standard error that drawn orders leave, within the interval.
    """

    name: str
    kind: str
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    aliases: list[str] = field(default_factory=list)
    sampling_se: float | None = None

    @property
    def title(self) -> str:
        """The name, with the aliases behind it."""
        return f"{self.name} (= {' = '.join(self.aliases)})" if self.aliases else self.name


@dataclass(frozen=True)
class Summary:
    """All that a report shows. `overhead`: share of the execution's time not spent in training steps or validation.
    `survivors`: of a search, each confirmed arm with the one that beats it, if one does. `objectives`: what runs are judged by.
    `parts`: of a study in several parts, each part's figures (`part`: its label); `across`: what only all of them tell.
    """

    study: str
    revision: str
    question: str
    metric: str
    objectives: list[str]
    arms: list[ArmSummary]
    effects: list[EffectSummary]
    infeasible: dict[str, str]
    runs: int
    finished: int
    failed: dict[str, str]
    sd: float | None
    dof: int
    overhead: float | None
    wall_seconds: float | None
    workers: int | None
    scope: list[str]
    devices: list[str]
    trials: list[TrialSummary]
    tuning: list[ArmTuning]
    survivors: dict[str, str | None]
    notes: list[str]
    part: str = ""
    parts: list["Summary"] = field(default_factory=list)
    across: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every run is finished."""
        return self.finished == self.runs

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; figures that are not finite are null."""
        return _finite(_without_parts(asdict(self)))


def summarise(record: StudyRecord) -> Summary:
    """The study's figures as far as its runs are finished."""
    content = record.read()
    if "parts" not in content:
        return _summarise(record, content)
    shared = {key: value for key, value in content.items() if key != "parts"}
    parts = [replace(_summarise(record, {**shared, **part}), part=part["label"]) for part in content["parts"]]
    return replace(_summarise(record, content), parts=parts, across=across(content, parts))


def _summarise(record: StudyRecord, content: Mapping[str, Any]) -> Summary:
    root = record.home.root
    keys = {run["key"] for run in content["runs"]}
    trials = {trial["key"] for trial in content["trials"]} - keys
    results = {key: result for key in keys if (result := Record(root, key).result) is not None}
    arms = [_arm(arm, content, results) for arm in content["arms"]]
    whole = {arm.name for arm in arms if not arm.diverged}
    cells = {(arm.name, v["seed"]): v["value"] for arm in arms if arm.name in whole for v in arm.values}
    fitted = fit(cells) if cells else None
    nothing = Effect(None, None, None, None)
    effects = []
    for c in content["contrasts"]:
        found = effect(fitted, c["weights"], parts=c.get("parts", ())) if fitted else nothing
        effects.append(EffectSummary(c["name"], c["kind"], **asdict(found), aliases=c.get("aliases", [])))
    executions, tried = record.executions, trials_of(content, record)
    settled = set(results) | settled_keys(root, trials)
    failures = {key: Record(root, key).failure for key in (keys | trials) - set(results)}
    return Summary(
        study=record.name, revision=record.revision, question=content["config"]["question"],
        metric=content["config"]["metric"], objectives=objectives_of(content), arms=arms, effects=effects,
        infeasible=content["infeasible"],
        runs=content["expected"]["runs"] + content["expected"]["trials"], finished=len(settled),
        failed={k: f["reason"] for k, f in failures.items() if f},
        sd=fitted.sd if fitted else None, dof=fitted.dof if fitted else 0, overhead=_overhead(executions),
        wall_seconds=sum(e["wall_seconds"] for e in executions) if executions else None,
        workers=executions[-1]["workers"] if executions else None, scope=_scope(content),
        devices=sorted({_device(result) for result in results.values()}), trials=tried, tuning=tuning(content, tried),
        survivors=_survivors(content, results),
        notes=content["notes"],
    )  # fmt: skip


def _arm(arm: Mapping[str, Any], content: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> ArmSummary:
    metric = content["config"]["metric"]
    runs = [(r["seed"], results[r["key"]]) for r in content["runs"] if r["arm"] == arm["name"] and r["key"] in results]
    sound = [(seed, result) for seed, result in runs if not result["diverged"]]
    values = [{"seed": seed, "value": result["metrics"][metric]} for seed, result in sound]
    mean, sd = mean_sd([v["value"] for v in values])
    test_metric = metric.replace("val/", "test/")

    def average(of: str) -> float | None:
        return mean_sd([result["cost"][of] for _, result in runs])[0]

    return ArmSummary(
        name=arm["name"], mean=mean, sd=sd, n=len(values), values=values,
        test=mean_sd([result["metrics"][test_metric] for _, result in sound])[0],
        parameters=arm["parameters"], tokens=arm["tokens"], flops=arm["tokens"] * arm["flops_per_token"],
        seconds=average("seconds"), tokens_per_second=average("tokens_per_second"),
        peak_memory_bytes=average("peak_memory_bytes"), diverged=[seed for seed, result in runs if result["diverged"]],
    )  # fmt: skip


def _survivors(content: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Of a search: each confirmed arm with the arm that beats it, None where there is none. Arms that diverged are left out."""
    runs = [(run["arm"], run["seed"], results[run["key"]]) for run in content["runs"] if run["key"] in results]
    if content["config"]["design"]["kind"] != "search" or not runs:
        return {}
    lost = {arm for arm, _, result in runs if result["diverged"]}
    sound = [run for run in runs if run[0] not in lost]
    tables = [{(arm, seed): figure(result, objective) for arm, seed, result in sound} for objective in objectives_of(content)]
    return {arm: beaten(tables, arm) for arm in dict.fromkeys(arm for arm, _, _ in sound)}


def _overhead(executions: list[dict[str, Any]]) -> float | None:
    """Of the executions that trained something."""
    trained = [e for e in executions if e["busy_seconds"] > 0]
    available = sum(e["wall_seconds"] * e["workers"] for e in trained)
    return max(0.0, 1 - sum(e["busy_seconds"] for e in trained) / available) if available else None


def _device(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    layout = result.get("layout", _ONE_PROCESS)
    shared = "" if layout == _ONE_PROCESS else f"{layout}, "
    return f"{result['device']} ({shared}{result['precision']}, {result['threads']} thread(s), {versions})"


def _scope(content: Mapping[str, Any]) -> list[str]:
    """What the figures hold for, in words. Of a study in several parts: what they have in common."""
    if "parts" in content:
        shared = {key: value for key, value in content.items() if key != "parts"}
        told = [_scope({**shared, **part}) for part in content["parts"]]
        return [line for line in told[0] if all(line in lines for lines in told)]
    config = content["config"]
    ((kind, amount),) = [(k, v) for k, v in config["budget"].items() if v is not None]
    sizes = ", ".join(f"{k} {v}" for k, v in config["model"].items() if v is not None) or "the family's own"
    recipes = [arm["recipe"] for arm in content["arms"]]
    shared = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
    told = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in shared.items())
    own = "" if all(r == shared for r in recipes) else "; arms differ in the rest"
    return [
        f"size: {sizes}",
        f"budget: {amount:.3g} {kind} a run, the same for every arm",
        f"data: {config['data']['source']}, tokenizer {config['data']['tokenizer']['kind']}",
        f"recipe of all arms: {told}{own}",
        _tuned(config),
        f"seeds: {config['seeds']}; intervals are 95 %, unadjusted for the number of effects",
    ]


def _tuned(config: Mapping[str, Any]) -> str:
    if (tune := config.get("tune")) is None:
        return "no arm was tuned, so the answer holds for this recipe only"
    apart = ("trials", "share", "seed", "prune")
    options = ", ".join(name for name, values in tune.items() if values is not None and name not in apart)
    budget = "its whole budget" if tune["share"] == 1 else f"{100 * tune['share']:g} % of the budget"
    return f"each arm was tuned alike: {tune['trials']} trials over {options}, each at {budget}, on seed {tune['seed']}"


def _without_parts(content: dict[str, Any]) -> dict[str, Any]:
    """Less what is empty in a study without parts."""
    empty = {key for key in ("part", "parts", "across") if not content[key]}
    parts = {"parts": [_without_parts(part) for part in content["parts"]]} if content["parts"] else {}
    return {key: value for key, value in {**content, **parts}.items() if key not in empty}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
