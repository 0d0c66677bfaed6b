"""What a study's effects are judged to be, from the values of its runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablab.metrics import METRICS
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.spec.margin import margin_of
from ablab.spec.seeds import replicates_of
from ablab.stats.effects import Cells, Effect, Estimate, arm_means, mean_sd
from ablab.stats.sequential import looks
from ablab.stats.verdicts import EffectVerdict, Rules, StudyVerdicts, Verdict, judge

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class EffectSummary:
    """A change's effect on the metric: with the change minus without. `p_holm`: adjusted over the
    study's changes (or its interactions). `verdict`: None where runs are missing. `real`:
    equivalent, and yet not zero. `seeds`: at which it was judged; `seeds_needed`: that would settle
    an inconclusive one. `paired`: the two arms' paired t by itself. `missing`: runs are to come.
    `unpaired`: between arms on unlike seeds. `shared`: the effect under `one` recipe for all, and
    under each arm's `own` on the same `seeds`. `aliases`: effects that the arms cannot tell from
    it. `sampling_se`: see `stats.effects.Effect`. `costs`: by name, the cost with the change over
    that without, and `cost_intervals`: 95 %, of those that were timed; `cost_reasons`: why some are
    not compared.
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
    missing: bool = False
    unpaired: bool = False
    shared: dict[str, Any] | None = None
    aliases: list[str] = field(default_factory=list)
    costs: dict[str, float | None] = field(default_factory=dict)
    cost_intervals: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    cost_reasons: dict[str, str] = field(default_factory=dict)

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
    """`noise_floor`: the baseline's standard deviation over its seeds. `sd`: of a run about arm and
    seed means, over all arms. `detectable`: the smallest effect of a change that is detected with
    80 % power. `margin`: within which effects count as zero.
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
    """Values by (arm, seed), the arms that diverged, those with runs to come, and by arm the first
    of equal value: only that one has values, since the same run counts once.
    """

    cells: Cells
    diverged: frozenset[str]
    missing: frozenset[str]
    first: Mapping[str, str]

    def within(self, seeds: Collection[int]) -> "_Table":
        """The same on these seeds alone."""
        return replace(
            self, cells={key: value for key, value in self.cells.items() if key[1] in seeds}
        )

    @property
    def whole(self) -> "_Table":
        """Without the arms that have runs to come."""
        return replace(
            self,
            cells={key: value for key, value in self.cells.items() if key[0] not in self.missing},
        )

    def on(self, question: Question) -> Question:
        """The question of the arms that have values; one between equal arms is empty, unless they
        diverged.
        """
        weights = merged(question.weights, self.first)
        if not weights and self.diverged & set(question.weights):
            return question
        return replace(
            question, weights=weights, parts=[merged(part, self.first) for part in question.parts]
        )


_SAME = EffectVerdict(
    Effect(0.0, 0.0, 0.0, 1.0), 1.0, "equivalent", False, None, 0, None
)  # between arms of equal value


def findings(content: Mapping[str, Any], results: Results) -> Findings:
    """Judges every effect of a study. `content`: its record; `results`: of its finished runs, by
    key.
    """
    table = _table(content["runs"], content, results)
    baseline = content.get("baseline") or next((arm["name"] for arm in content["arms"]), "")
    of_baseline = [
        value
        for (arm, _), value in table.cells.items()
        if arm == table.first.get(baseline, baseline)
    ]
    mean, spread = mean_sd(of_baseline)
    margin = margin_of(content["config"], mean)
    asked = [
        Question(c["name"], c["kind"], c["weights"], c.get("parts", ()), c.get("aliases", ()))
        for c in content["contrasts"]
    ]
    rules = Rules(margin or 0.0, looks_of(content), sign=METRICS[content["config"]["metric"]].sign)
    judgement, sofar = _judged(table, asked, rules)
    shared = _shared(content, results, asked, replace(rules, looks=()))
    streams = replicates_of(content["config"])
    effects = []
    for i, question in enumerate(asked):
        waiting = any(arm in table.missing for arm in table.on(question).weights)
        judged = sofar.effects[i] if waiting else judgement.effects[i]
        found = _effect(question, judged, margin, missing=waiting)
        unpaired = (
            len({streams.get(arm, 0) for arm, weight in question.weights.items() if weight}) > 1
        )
        effects.append(replace(found, unpaired=unpaired, shared=shared[i] if shared else None))
    error = judgement if judgement.sd is not None else sofar
    return Findings(effects, error.sd, error.dof, spread, error.detectable, margin, baseline)


def means_of(content: Mapping[str, Any], results: Results, metric: str) -> dict[str, Estimate]:
    """The means of a metric (see `stats.effects.arm_means`), of every arm that did not diverge.
    Equal arms share theirs.
    """
    table = _table(content["runs"], content, results, metric)
    means = arm_means(table.cells)
    return {arm: means[first] for arm, first in table.first.items() if first in means}


def _judged(
    table: _Table, questions: Sequence[Question], rules: Rules
) -> tuple[StudyVerdicts, StudyVerdicts]:
    """The verdicts on arms that are complete, and the estimates so far. While a study adds seeds
    both are the same: what it sees at a look is complete.
    """
    if rules.looks or not table.missing:
        return (found := _judge(table, questions, rules)), found
    return _judge(table.whole, questions, rules), _judge(table, questions, rules)


def _judge(table: _Table, asked: Sequence[Question], rules: Rules) -> StudyVerdicts:
    questions = [table.on(question) for question in asked]
    judgement = judge(table.cells, [q for q in questions if q.weights], rules, table.diverged)
    found = iter(judgement.effects)
    return replace(judgement, effects=tuple(next(found) if q.weights else _SAME for q in questions))


def looks_of(content: Mapping[str, Any]) -> tuple[int, ...]:
    """After how many seeds a study that adds them looks; nothing where their number is fixed."""
    seeds = content["config"].get("seeds")
    return looks(seeds["start"], seeds["max"]) if isinstance(seeds, Mapping) else ()


def _shared(
    content: Mapping[str, Any],
    results: Results,
    questions: Sequence[Question],
    rules: Rules,
) -> list[dict[str, Any]] | None:
    """Each effect with one recipe for all, and with each arm's own on the same seeds, once all
    these runs are finished.
    """
    if not (shared := content.get("shared")):
        return None
    once = _table(shared["runs"], content, results)
    seeds = {run["seed"] for run in shared["runs"]}
    own = _table([run for run in content["runs"] if run["seed"] in seeds], content, results)
    if once.missing or own.missing:
        return None
    pairs = zip(
        _judge(once, questions, rules).effects, _judge(own, questions, rules).effects, strict=True
    )
    return [{"seeds": len(seeds), "one": _plain(one), "own": _plain(each)} for one, each in pairs]


def _table(
    runs: Sequence[Mapping[str, Any]],
    content: Mapping[str, Any],
    results: Results,
    metric: str | None = None,
) -> _Table:
    """`metric`: the study's where none is named."""
    metric, first = metric or content["config"]["metric"], first_by_runs(runs)
    arms = {arm["name"] for arm in content["arms"]}  # none, of several parts together
    ended = [
        (r["arm"], r["seed"], results[r["key"]])
        for r in runs
        if r["arm"] in arms and r["key"] in results
    ]
    diverged = frozenset(arm for arm, _, result in ended if result["diverged"])
    sound = [
        (arm, seed, result)
        for arm, seed, result in ended
        if arm not in diverged and first[arm] == arm
    ]
    cells = {(arm, seed): result["metrics"][metric] for arm, seed, result in sound}
    missing = {run["arm"] for run in runs if run["key"] not in results} | arms - {
        run["arm"] for run in runs
    }
    return _Table(cells, diverged, frozenset(missing - diverged), first)


def _effect(
    question: Question, judged: EffectVerdict, margin: float | None, *, missing: bool
) -> EffectSummary:
    return EffectSummary(
        question.name,
        question.kind,
        **asdict(judged.effect),
        p_holm=None if missing else judged.p_holm,
        verdict=None if missing else judged.verdict,
        real=judged.real and not missing,
        margin=margin,
        seeds=judged.seeds,
        seeds_needed=None if missing else judged.seeds_needed,
        paired=asdict(judged.paired) if judged.paired else None,
        missing=missing,
        aliases=list(question.aliases),
    )


def _plain(judged: EffectVerdict) -> dict[str, Any]:
    return {**asdict(judged.effect), "p_holm": judged.p_holm, "verdict": judged.verdict}
