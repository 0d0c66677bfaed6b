"""An arm with what its runs are made of, and the plan of a design in which every arm is trained as
the study says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablab.arch.composition.expression import Model
from ablab.arch.counting.account import Account
from ablab.design.build import DesignLayout
from ablab.plan.arm_data import AnyData
from ablab.plan.plan import Plan
from ablab.plan.run_key import run_key
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm, Expected


@dataclass(frozen=True)
class PlannedArm:
    """An arm with what its runs are made of."""

    arm: Arm
    """The arm as the study's record keeps it."""
    model: Model
    """Its model, including the plugins of the recipe."""
    account: Account
    """What the model costs."""
    identity: str
    """Digest of everything but the seed that determines the numbers of its runs."""
    template: RunSpec
    """Specification of its runs, without key and seed."""
    data: AnyData
    """The data it is trained on."""
    stream: int = 0
    """Added to every seed, those of trials included, so that a replicate has seeds of its own."""
    by_seed: Mapping[int, "PlannedArm"] = field(default_factory=dict)
    """By seed, the arm with the combination of nuisance levels that the seed has; empty without
    nuisance factors.
    """

    def runs(self, seeds: Iterable[int], trial: int | None = None) -> list[RunSpec]:
        """Return one run per seed. `trial` is the number of the trial that they belong to."""
        return [
            replace(arm.template, key=run_key(arm.identity, number), seed=number, trial=trial)
            for seed in seeds
            for arm, number in [(self.by_seed.get(seed, self), self.stream + seed)]
        ]


def training_flops(arms: Iterable[Arm]) -> float | None:
    """Return the training FLOPs of one run of each arm together.

    The result is None if the budget of an arm is in seconds.
    """
    flops = [arm.training_flops for arm in arms]
    counts = [count for count in flops if count is not None]
    return sum(counts) if len(counts) == len(flops) else None


def plan_design(
    layout: DesignLayout, arms: Sequence[PlannedArm], seeds: Callable[[str], Sequence[int]]
) -> Plan:
    """Return the plan of a design without trials. `seeds` returns the seeds of an arm by name."""
    arm_runs = [
        (planned.arm, run) for planned in arms for run in planned.runs(seeds(planned.arm.name))
    ]
    arm_of = {run.key: arm for arm, run in arm_runs}
    return Plan(
        arms=tuple(planned.arm for planned in arms),
        runs=tuple(run for _, run in arm_runs),
        contrasts=tuple(layout.contrasts),
        infeasible=layout.infeasible,
        data={planned.template.data: planned.data for planned in arms},
        expected=Expected(len(arm_of), 0, training_flops(arm_of.values())),
        notes=tuple(layout.notes),
        baseline=layout.baseline,
        spare=tuple(layout.spare),
    )
