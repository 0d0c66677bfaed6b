"""What a planned study can tell, from the noise of one run and before any of its own.

Powers of an adaptive study are those of its last look at the level of a look. Earlier looks add a
little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablab.stats.effects import Question, require_weights
from ablab.stats.inference.error_terms import planning_dof
from ablab.stats.inference.power import (
    Noise,
    PowerTarget,
    equivalence_power,
    noncentrality,
    seeds_for_equivalence,
    smallest_found,
    spread,
)
from ablab.stats.inference.sequential import nominal_alpha
from ablab.stats.inference.verdict_types import Rules


@dataclass(frozen=True)
class EquivalenceForecast:
    """How well a planned study shows that a change without an effect makes no difference."""

    power: float
    """Probability that it does, for the least precise change."""
    seeds_needed: int | None
    """Number of seeds with which a fixed study does with the required power; None stands for more
    than 10,000.
    """


def planned_noise(questions: Sequence[Question], sd: float) -> list[Noise]:
    """Return the sources of the standard error of every change.

    `sd` is the standard deviation of a run about arm and seed means. Sampled orders are assumed to
    agree.
    """
    require_weights(questions)
    dof = planning_dof(questions)
    return [
        Noise(
            sd**2 * sum(w**2 for w in question.weights.values()),
            dof[i],
            len(question.parts),
            sd**2 * spread(question),
        )
        for i, question in enumerate(questions)
        if question.kind == "change"
    ]


def primary_target(questions: Sequence[Question], rules: Rules) -> PowerTarget:
    """Return the required power of a test of a change, at the first step of Holm's procedure over
    the changes and totals.
    """
    family = sum(question.kind != "interaction" for question in questions)
    return PowerTarget(family, rules.level, rules.power, rules.looks, rules.helps_level)


def detectable(noises: Sequence[Noise], seeds: int, target: PowerTarget) -> float | None:
    """Return the smallest true effect at which each of the changes is detected with the required
    power, or None if there is no change. There are at least two `seeds` of each arm.
    """
    return max((smallest_found(noise, seeds, target) for noise in noises), default=None)


def detectable_dependence(
    noises: Sequence[Noise], seeds: int, factors: int, target: PowerTarget
) -> float:
    """Return the smallest true difference between a change's effects at the two levels of a
    nuisance factor that is detected with the required power, for the least precise change.
    """
    level = target.level / (target.family * factors)
    return max(
        2
        * math.sqrt(noise.variance / seeds)
        * noncentrality(noise.dof * (seeds - 1 - factors), level, target.power)
        for noise in noises
    )


def equivalence(
    noises: Sequence[Noise], seeds: int, margin: float, target: PowerTarget
) -> EquivalenceForecast:
    """Return how well a study shows that changes without an effect lie within the margin.

    Args:
        noises: sources of the standard error of each change, of which there is one at least.
        seeds: number of seeds of each arm, at the last look of an adaptive study.
        margin: margin in units of the metric, above zero.
        target: required power.

    """
    level = target.level / target.family
    if target.looks:
        level = nominal_alpha(level, target.looks[-1], target.looks, sides=1)
    needed = [seeds_for_equivalence(noise, margin, target) for noise in noises]
    known = [count for count in needed if count is not None]
    return EquivalenceForecast(
        min(equivalence_power(margin, *noise.at(seeds), level) for noise in noises),
        max(known) if len(known) == len(needed) else None,
    )
