"""What a planned study will be able to find, from the noise of runs that are recorded already."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from ablab.metrics import METRICS
from ablab.plan.equal_arms import first_by_runs, merged
from ablab.records.home import Home, revisions
from ablab.records.run_record import Record, figure
from ablab.stats.effects import Cells, fit, mean_sd
from ablab.stats.power import Noise, PowerTarget, smallest_found
from ablab.stats.sequential import looks
from ablab.stats.verdicts import Rules, detectable

if TYPE_CHECKING:
    from ablab.design.build import Contrast
    from ablab.plan.plan import Plan
    from ablab.spec.study import Study

# What is read to know the noise: more runs make it no more telling, and a plan must be quick.
_MOST_RUNS = 200
Measure = Callable[[Cells], float | None]


@dataclass(frozen=True)
class Foresight:
    """`effect`: the smallest true change that `seeds` seeds (at most so many, where `adaptive`)
    detect with 80 % power. `sd`: run-to-run standard deviation about arm and seed means, or, where
    the arms share no seeds, about arm means; from the study's `revision`.
    """

    effect: float
    sd: float
    seeds: int
    revision: str
    adaptive: bool

    def told(self, metric: str) -> str:
        """It in words."""
        seeds = f"up to {self.seeds}" if self.adaptive else str(self.seeds)
        return (
            f"with {seeds} seeds a change must be worth ±{self.effect:.2g} {metric} to be "
            "detected with 80 % power "
            f"(run-to-run sd {self.sd:.2g}, from revision {self.revision})"
        )


def about_both(cells: Cells) -> float | None:
    """The standard deviation about arm and seed means; None without degrees of freedom."""
    return fit(cells).sd if cells else None


def about_arms(cells: Cells) -> float | None:
    """The standard deviation about arm means, pooled; None where every arm has one run."""
    own: dict[str, list[float]] = {}
    for (arm, _), value in cells.items():
        own.setdefault(arm, []).append(value)
    spreads = [
        (spread**2, len(values) - 1)
        for values in own.values()
        if (spread := mean_sd(values)[1]) is not None
    ]
    dof = sum(count for _, count in spreads)
    return sqrt(sum(variance * count for variance, count in spreads) / dof) if dof else None


def noise_floor(
    home: Home, name: str, metric: str, part: str | None = None, measure: Measure = about_both
) -> tuple[float, str] | None:
    """The run-to-run standard deviation of `metric`, from the latest revision of a study whose
    finished runs give one, and that revision; from 200 runs at most. `part`: the label of the part
    whose runs count, of a study that has parts.
    """
    left = _MOST_RUNS
    for record in reversed(revisions(home, name)):
        content = record.read()
        if content["config"]["metric"] != metric or left <= 0:
            continue
        runs = _runs(content, part)[:left]
        left -= len(runs)
        if (sd := measure(_cells(home, runs, metric))) is not None:
            return sd, record.revision
    return None


def _runs(content: Mapping[str, Any], part: str | None) -> list[Mapping[str, Any]]:
    """Of the part of that label; of a study with parts none where none is asked for: their noises
    differ.
    """
    if part is None:
        return [] if "parts" in content else content["runs"]
    return next((own["runs"] for own in content.get("parts", ()) if own["label"] == part), [])


def _cells(home: Home, runs: list[Mapping[str, Any]], metric: str) -> dict[tuple[str, int], float]:
    """What finished runs came to; arms that diverged are left out, and those that share the runs of
    another.
    """
    results = {run["key"]: Record(home.root, run["key"]).result for run in runs}
    known = [(run, result) for run in runs if (result := results[run["key"]]) is not None]
    lost = {run["arm"] for run, result in known if result["diverged"]}
    first = first_by_runs(run for run, _ in known)
    sound = [
        (run, result)
        for run, result in known
        if run["arm"] not in lost and first[run["arm"]] == run["arm"]
    ]
    return {(run["arm"], run["seed"]): figure(result, metric) for run, result in sound}


def foreseen(home: Home, name: str, study: "Study", plan: "Plan") -> Foresight | None:
    """Return the smallest change that the study `name` can detect.

    None while no noise is known, or where the study asks about no change, has one seed, or has
    parts.
    """
    return None if plan.parts else _foreseen(home, name, study, plan)


def foreseen_parts(home: Home, name: str, plan: "Plan") -> list[Foresight | None]:
    """Return the same for each part, from the noise of the recorded part of its label alone."""
    return [_foreseen(home, name, part.study, part.plan, part.label) for part in plan.parts]


def _foreseen(
    home: Home, name: str, study: "Study", plan: "Plan", part: str | None = None
) -> Foresight | None:
    seeds, adaptive = len(study.seed_list()), study.adaptive
    if seeds < 2:
        return None
    rules = Rules(
        0.0,
        looks(adaptive.start, adaptive.max) if adaptive else (),
        sign=METRICS[study.metric].sign,
    )
    asked, first = _asked(plan)
    streams = {arm: study.replicates.get(arm, 0) for arm in first.values()}
    apart = [contrast for contrast in asked if len({streams[arm] for arm in contrast.weights}) > 1]
    found: list[tuple[float, float, str]] = []
    if len(apart) < len(asked) and (known := noise_floor(home, name, study.metric, part)):
        # The tests of the others count in Holm's procedure.
        within = [
            replace(contrast, kind="total") if contrast in apart else contrast for contrast in asked
        ]
        own = (
            len(streams) - len(set(streams.values())) + 1
        )  # the arms whose error is as plentiful in a single stream
        if (effect := detectable(within, own, seeds, known[0], rules)) is not None:
            found.append((effect, *known))
    if apart and (known := noise_floor(home, name, study.metric, part, about_arms)):
        family = sum(contrast.kind != "interaction" for contrast in asked)
        variance = known[0] ** 2 * max(
            sum(w**2 for w in contrast.weights.values()) for contrast in apart
        )
        noise = Noise(variance, 2.0)  # two samples
        found.append(
            (
                smallest_found(
                    noise, seeds, PowerTarget(family, rules.level, rules.power, rules.looks)
                ),
                *known,
            )
        )
    if not found:
        return None
    effect, sd, revision = max(found)
    return Foresight(effect, sd, seeds, revision, adaptive is not None)


def _asked(plan: "Plan") -> tuple[list["Contrast"], dict[str, str]]:
    """The contrasts of arms that differ, and by arm the first of equal value."""
    equal = first_by_runs({"arm": run.arm, "key": run.key} for run in plan.runs)
    first = {arm.name: equal.get(arm.name, arm.name) for arm in plan.arms}
    asked = [
        replace(contrast, weights=merged(contrast.weights, first)) for contrast in plan.contrasts
    ]
    return [contrast for contrast in asked if contrast.weights], first
