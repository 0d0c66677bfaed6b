"""What a planned study will be able to find, from the noise of runs that are recorded already."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablab.stats.effects import fit
from ablab.stats.sequential import looks
from ablab.stats.verdicts import Rules, detectable
from ablab.study.home import Home, revisions
from ablab.study.records import Record, figure

if TYPE_CHECKING:
    from ablab.study.session import Planned

# What is read to know the noise: more runs make it no more telling, and a plan must be quick.
_MOST_RUNS = 200


@dataclass(frozen=True)
class Foresight:
    """`effect`: the smallest true change that `seeds` seeds (at most so many, where `adaptive`) find four times in five. `sd`:
    run-to-run standard deviation about arm and seed means, in the study's `revision`.
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
            f"with {seeds} seeds a change must be worth ±{self.effect:.2g} {metric} to be found 4 times in 5 "
            f"(run-to-run sd {self.sd:.2g}, from revision {self.revision})"
        )


def noise_floor(home: Home, name: str, metric: str) -> tuple[float, str] | None:
    """The run-to-run standard deviation of `metric`, from the latest revision of a study whose finished runs give one, and that
    revision; from 200 runs at most.
    """
    left = _MOST_RUNS
    for record in reversed(revisions(home, name)):
        content = record.read()
        if content["config"]["metric"] != metric or left <= 0:
            continue
        runs = content["runs"][:left]
        left -= len(runs)
        sd = fit(cells).sd if (cells := _cells(home, runs, metric)) else None
        if sd is not None:
            return sd, record.revision
    return None


def _cells(home: Home, runs: list[Mapping[str, Any]], metric: str) -> dict[tuple[str, int], float]:
    """What finished runs came to; arms that diverged are left out, and those that share the runs of another."""
    results = {run["key"]: Record(home.root, run["key"]).result for run in runs}
    known = [(run, result) for run in runs if (result := results[run["key"]]) is not None]
    lost = {run["arm"] for run, result in known if result["diverged"]}
    first: dict[str, str] = {}
    for run, _ in known:
        first.setdefault(run["key"], run["arm"])
    sound = [(run, result) for run, result in known if run["arm"] not in lost and first[run["key"]] == run["arm"]]
    return {(run["arm"], run["seed"]): figure(result, metric) for run, result in sound}


def foreseen(home: Home, planned: "Planned") -> Foresight | None:
    """The smallest change that a study can find; None while no noise is known, or where it asks about none, or has one seed."""
    study, layout = planned.study, planned.plan
    seeds = len(study.seed_list())
    if seeds < 2 or (known := noise_floor(home, planned.request.name, study.metric)) is None:
        return None
    sd, revision = known
    adaptive = study.adaptive
    rules = Rules(0.0, looks(adaptive.start, adaptive.max) if adaptive else ())
    effect = detectable(layout.contrasts, len(layout.arms), seeds, sd, rules)
    if effect is None:
        return None
    return Foresight(effect, sd, seeds, revision, adaptive is not None)
