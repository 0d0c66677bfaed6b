"""What a study's effects are judged to be, from the values of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ablab.stats.effects import Cells, mean_sd
from ablab.stats.sequential import looks
from ablab.stats.verdicts import Judged, Judgement, Rules, Verdict, judge
from ablab.study.margin import margin_of

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class EffectSummary:
    """A change's effect on the metric: with the change minus without. `p_holm`: adjusted over the study's changes (or its
    interactions). `verdict`: None where runs are missing. `real`: equivalent, and yet not zero. `seeds`: at which it was judged;
    `seeds_needed`: that would settle an undecided one. `paired`: the two arms' paired t by itself. `shared`: the same under one
    recipe for all. `aliases`: effects that the arms cannot tell from it. `sampling_se`: see `stats.effects.Effect`.
    `costs`: by name, the cost with the change over that without, and `cost_intervals`: 95 %, of those that were timed.
    """

    name: str
    kind: str
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    sampling_se: float | None = None
    p_holm: float | None = None
    verdict: Verdict | None = None
    real: bool = False
    margin: float | None = None
    seeds: int = 0
    seeds_needed: int | None = None
    paired: dict[str, Any] | None = None
    shared: dict[str, Any] | None = None
    aliases: list[str] = field(default_factory=list)
    costs: dict[str, float | None] = field(default_factory=dict)
    cost_intervals: dict[str, tuple[float, float] | None] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, with the aliases behind it."""
        return f"{self.name} (= {' = '.join(self.aliases)})" if self.aliases else self.name


@dataclass(frozen=True)
class Question:
    """An effect as the study's record keeps it."""

    name: str
    kind: str
    weights: Mapping[str, float]
    parts: Sequence[Mapping[str, float]]
    aliases: Sequence[str]


@dataclass(frozen=True)
class Findings:
    """`noise_floor`: the baseline's standard deviation over its seeds. `sd`: of a run about arm and seed means, over all arms.
    `detectable`: the smallest effect of a change that is found 4 times in 5. `margin`: within which effects count as nil.
    """

    effects: list[EffectSummary]
    sd: float | None
    dof: int
    noise_floor: float | None
    detectable: float | None
    margin: float | None
    baseline: str


@dataclass(frozen=True)
class _Table:
    """Values by (arm, seed), the arms that diverged, and those with runs to come."""

    cells: Cells
    diverged: frozenset[str]
    missing: frozenset[str]


def findings(content: Mapping[str, Any], results: Results) -> Findings:
    """Judges every effect of a study. `content`: its record; `results`: of its finished runs, by key."""
    table = _table(content["runs"], content, results)
    baseline = content.get("baseline") or next((arm["name"] for arm in content["arms"]), "")
    mean, spread = mean_sd([value for (arm, _), value in table.cells.items() if arm == baseline])
    margin = None if mean is None else margin_of(content["config"], mean)
    questions = [
        Question(c["name"], c["kind"], c["weights"], c.get("parts", ()), c.get("aliases", ())) for c in content["contrasts"]
    ]
    judgement = _judge(table, questions, margin, looks_of(content))
    shared = _shared(content, results, questions, margin)
    effects = [
        _effect(question, judged, margin, None if shared is None else shared.effects[i], table.missing)
        for i, (question, judged) in enumerate(zip(questions, judgement.effects, strict=True))
    ]
    return Findings(effects, judgement.sd, judgement.dof, spread, judgement.detectable, margin, baseline)


def _judge(table: _Table, questions: Sequence[Question], margin: float | None, at: tuple[int, ...]) -> Judgement:
    # Without a baseline's mean there is no margin yet: nothing counts as nil.
    return judge(table.cells, questions, Rules(margin or 0.0, at), table.diverged)


def looks_of(content: Mapping[str, Any]) -> tuple[int, ...]:
    """After how many seeds a study that adds them looks; nothing where their number is fixed."""
    seeds = content["config"].get("seeds")
    return looks(seeds["start"], seeds["max"]) if isinstance(seeds, Mapping) else ()


def _shared(
    content: Mapping[str, Any], results: Results, questions: Sequence[Question], margin: float | None
) -> Judgement | None:
    """The verdicts with one recipe for all, once all its runs are finished."""
    if not (shared := content.get("shared")):
        return None
    table = _table(shared["runs"], content, results)
    return None if table.missing else _judge(table, questions, margin, ())


def _table(runs: Sequence[Mapping[str, Any]], content: Mapping[str, Any], results: Results) -> _Table:
    metric = content["config"]["metric"]
    arms = {arm["name"] for arm in content["arms"]}  # none, of several parts together
    ended = [(r["arm"], r["seed"], results[r["key"]]) for r in runs if r["arm"] in arms and r["key"] in results]
    diverged = frozenset(arm for arm, _, result in ended if result["diverged"])
    cells = {(arm, seed): result["metrics"][metric] for arm, seed, result in ended if arm not in diverged}
    missing = {run["arm"] for run in runs if run["key"] not in results} | arms - {run["arm"] for run in runs}
    return _Table(cells, diverged, frozenset(missing - diverged))


def _effect(
    question: Question, judged: Judged, margin: float | None, shared: Judged | None, missing: frozenset[str]
) -> EffectSummary:
    decided = not any(weight and arm in missing for arm, weight in question.weights.items())
    return EffectSummary(
        question.name, question.kind, **asdict(judged.effect),
        p_holm=judged.p_holm if decided else None, verdict=judged.verdict if decided else None, real=judged.real and decided,
        margin=margin, seeds=judged.seeds, seeds_needed=judged.seeds_needed if decided else None,
        paired=asdict(judged.paired) if judged.paired else None,
        shared=None if shared is None else _plain(shared), aliases=list(question.aliases),
    )  # fmt: skip


def _plain(judged: Judged) -> dict[str, Any]:
    return {**asdict(judged.effect), "p_holm": judged.p_holm, "verdict": judged.verdict}
