"""One recipe for all arms, in addition to each arm's own best: the trial point with the best mean
over the arms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablab.metrics import Metric
from ablab.plan.plan import Plan, SharedRecipe
from ablab.plan.planned_arm import PlannedArm, training_flops
from ablab.records.params import parameters
from ablab.schedule.initial_points import Point

# The metric of one arm by trial point (as items), without the points that have no value.
Values = Mapping[tuple[tuple[str, Any], ...], float]


def common_point(arms: Sequence[Values], metric: Metric) -> Point | None:
    """Return the point with the best mean over the arms, the first tried if several are equal.

    Only points with a value in every arm count; the result is None if there are none.
    """
    first, *others = arms
    common = [point for point in first if all(point in values for values in others)]
    means = {point: sum(values[point] for values in arms) / len(arms) for point in common}
    return dict(metric.best(means)) if means else None


def shared_recipe(point: Point, arms: Sequence[PlannedArm], seeds: Sequence[int]) -> SharedRecipe:
    """Return the runs of all arms on the same seeds. `arms` are planned at `point`."""
    return SharedRecipe(
        dict(point),
        tuple(arm.arm for arm in arms),
        tuple(run for arm in arms for run in arm.runs(seeds)),
    )


def with_shared_recipe(plan: Plan, shared: SharedRecipe, seeds: int, metric: Metric) -> Plan:
    """Return the plan of a tuned study with the runs of one recipe for all arms added.

    `seeds` is the number of seeds.
    """
    arms = {arm.name: arm for arm in shared.arms}
    planned_keys = {run.key for run in plan.runs}
    extra = {run.key: arms[run.arm] for run in shared.runs if run.key not in planned_keys}
    expected = plan.expected
    extra_flops = training_flops(extra.values())
    flops = None
    if expected.flops is not None and extra_flops is not None:
        flops = expected.flops + extra_flops
    expected = replace(
        expected,
        runs=expected.runs + len(extra),
        most=(expected.most or expected.runs) + len(extra),
        flops=flops,
    )
    note = (
        f"one recipe for all arms as well: {parameters(shared.params)}, whose mean over their "
        f"trials is {metric.best_is}, on {seeds} seeds"
    )
    return replace(plan, expected=expected, notes=(*plan.notes, note), shared_recipe=shared)


def with_undecided_recipe(plan: Plan, seeds: int, metric: Metric) -> Plan:
    """Return the plan of a tuned study whose trials have not ended, with the number of runs that
    one recipe for all arms may add.
    """
    expected = plan.expected
    most = (expected.most or expected.runs) + len(plan.arms) * seeds
    note = (
        "one recipe for all arms as well: the point whose mean over their trials is "
        f"{metric.best_is}, on {seeds} seeds"
    )
    return replace(plan, expected=replace(expected, most=most), notes=(*plan.notes, note))


def without_shared_recipe(plan: Plan) -> Plan:
    """Return the plan of a tuned study with a note that there is no recipe for all arms."""
    note = "no recipe for all arms: no point that all of them tried came to a value in every one"
    return replace(plan, notes=(*plan.notes, note))
