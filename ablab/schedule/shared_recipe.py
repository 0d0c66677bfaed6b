"""One recipe for all arms, beside each arm's own best: the trial point that suits them best on
average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablab.metrics import Metric
from ablab.plan.plan import Plan, SharedRecipe
from ablab.plan.planner import PlannedArm, training_flops
from ablab.records.params import parameters
from ablab.schedule.initial_points import Point

# Of one arm: the value at each point that came to one, by the point's items.
Values = Mapping[tuple[tuple[str, Any], ...], float]


def common_point(arms: Sequence[Values], metric: Metric) -> Point | None:
    """The point with a value in every arm whose mean over the arms is best, the first tried of
    equals; None where no point has one in all.
    """
    first, *others = arms
    common = [point for point in first if all(point in values for values in others)]
    means = {point: sum(values[point] for values in arms) / len(arms) for point in common}
    return dict(metric.best(means)) if means else None


def shared_recipe(point: Point, arms: Sequence[PlannedArm], seeds: Sequence[int]) -> SharedRecipe:
    """Every arm, each planned at `point`, on the same seeds."""
    return SharedRecipe(
        dict(point),
        tuple(arm.arm for arm in arms),
        tuple(run for arm in arms for run in arm.runs(seeds)),
    )


def sharing(
    plan: Plan,
    shared: SharedRecipe | None,
    seeds: Sequence[int],
    metric: Metric,
    *,
    through: bool,
) -> Plan:
    """The plan of a tuned study with the runs that one recipe for all arms takes. `through`:
    whether all trials ended, so that it is decided (None: there is none).
    """
    expected = plan.expected
    if not through:
        most = (expected.most or expected.runs) + len(plan.arms) * len(seeds)
        note = (
            "one recipe for all arms as well: the point whose mean over their trials is "
            f"{metric.best_is}, on {len(seeds)} seeds"
        )
        return replace(plan, expected=replace(expected, most=most), notes=(*plan.notes, note))
    if shared is None:
        note = (
            "no recipe for all arms: no point that all of them tried came to a value in every one"
        )
        return replace(plan, notes=(*plan.notes, note))
    arms = {arm.name: arm for arm in shared.arms}
    own = {run.key for run in plan.runs}
    extra = {run.key: arms[run.arm] for run in shared.runs if run.key not in own}
    theirs = training_flops(extra.values())
    expected = replace(
        expected,
        runs=expected.runs + len(extra),
        most=(expected.most or expected.runs) + len(extra),
        flops=None if expected.flops is None or theirs is None else expected.flops + theirs,
    )
    point = parameters(shared.params)
    note = (
        f"one recipe for all arms as well: {point}, whose mean over their trials is "
        f"{metric.best_is}, on {len(seeds)} seeds"
    )
    return replace(plan, expected=expected, notes=(*plan.notes, note), shared=shared)
