"""The stages of a study: which of its runs can be trained at the same time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ablab.analysis.effects import looks_of
from ablab.plan.plan import PartPlan, StudyPlan
from ablab.schedule.tuning import first_trials
from ablab.spec.design import Search
from ablab.spec.study import Study
from ablab.spec.trial_share import trial_share


@dataclass(frozen=True)
class Stage:
    """Runs of which none depends on another's outcome, so that all can be trained at once."""

    title: str
    """What they are, as `trials`."""
    runs: int
    """Their number."""
    flops: float | None
    """Training FLOPs of one of them, on average; None where the clock decides."""
    certain: bool = True
    """Whether they are trained whatever the stages before come to."""


def stages_of(study: Study, plan: StudyPlan) -> list[list[Stage]]:
    """Return the stages of each part of a study, in their order. Parts do not wait for each other.

    Decisions make a study sequential: a sampler waits for the trials that it learns from, and looks
    at adaptive seeds wait for the seeds before.
    """
    return [[*_trials(study, part), *_seeds(study, part)] for part in plan.parts]


def _trials(study: Study, part: PartPlan) -> list[Stage]:
    arms = len(part.plan.arms)
    if isinstance(study.design, Search):
        flops = _scaled(_mean_flops(part), study.design.share)
        rounds = _divided(study.design.trials, study.design.at_once)
        return [Stage("trials", runs, flops) for runs in rounds]
    if study.tune is None:
        return []
    flops = _scaled(_mean_flops(part), trial_share(study, arms))
    together = first_trials(study.tune)
    stages = [Stage("trials", arms * together, flops)]
    stages += [Stage("trials", arms, flops) for _ in range(study.tune.trials - together)]
    more = study.tune.most_trials(len(study.seed_list())) - study.tune.trials
    if more:
        stages.append(Stage("trials", arms * more, flops, certain=False))
    return stages


def _seeds(study: Study, part: PartPlan) -> list[Stage]:
    expected = part.plan.expected
    flops = _mean_flops(part)
    stages = [Stage("runs", expected.runs, flops)]
    more = (expected.most or expected.runs) - expected.runs
    later = max(len(looks_of(study)) - 1, 1)
    if more > 0:
        each = _divided(more, math.ceil(more / later))
        stages += [Stage("runs", runs, flops, certain=False) for runs in each]
    return stages


def _mean_flops(part: PartPlan) -> float | None:
    flops = [arm.training_flops for arm in part.plan.arms]
    known = [count for count in flops if count is not None]
    return fmean(known) if known and len(known) == len(flops) else None


def _scaled(flops: float | None, share: float) -> float | None:
    return None if flops is None else share * flops


def _divided(number: int, size: int) -> Sequence[int]:
    """Return the sizes of groups of `size`, of which the last may be smaller."""
    return [min(size, number - first) for first in range(0, number, size)]
