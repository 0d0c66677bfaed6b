"""The plan of a study: its arms with what they cost, and its runs with their keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ablab.arch.recipe import Recipe
from ablab.design.build import Contrast
from ablab.plan.arm_data import AnyData
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm, Expected
from ablab.spec.study import Study


@dataclass(frozen=True)
class Trial:
    """A trial of tuning or search: an arm with its parameters, and the run that tries it."""

    arm: Arm
    run: RunSpec


@dataclass(frozen=True)
class SharedRecipe:
    """All arms under one recipe, in addition to each arm under its own best recipe.

    An arm whose own best recipe this is has the same runs in both.
    """

    params: Mapping[str, Any]
    """Options of the recipe, those of one trial point."""
    arms: tuple[Arm, ...]
    """All arms, with these options."""
    runs: tuple[RunSpec, ...]
    """Their runs."""


@dataclass(frozen=True)
class Plan:
    """Plan of a study at one budget and scale, as far as it is decided: trials decide what follows.

    Arms of equal value share their runs.
    """

    arms: tuple[Arm, ...]
    """Arms in the order of the design."""
    runs: tuple[RunSpec, ...]
    """Runs of the design."""
    contrasts: tuple[Contrast, ...]
    """Effects that the design estimates."""
    infeasible: Mapping[str, str]
    """Combinations that cannot be trained, with the reason."""
    data: Mapping[str, AnyData]
    """Data to tokenize, by fingerprint."""
    expected: Expected
    """Number of runs and trials once everything is decided."""
    notes: tuple[str, ...] = ()
    """Notes on the design for readers of the results."""
    trials: tuple[Trial, ...] = ()
    """Trials proposed so far."""
    space: Mapping[str, Any] = field(default_factory=dict)
    """Values that trials try, by parameter: a list, or an interval."""
    baseline: str = ""
    """Arm that effects are measured against, and that a margin in percent refers to."""
    shared_recipe: SharedRecipe | None = None
    """The arms under one recipe, once that is decided."""
    spare: tuple[Contrast, ...] = ()
    """Contrasts that are zero if the design's assumptions hold."""

    @property
    def shared_runs(self) -> tuple[RunSpec, ...]:
        """Runs with the recipe that all arms share; empty where there is no such recipe."""
        return self.shared_recipe.runs if self.shared_recipe else ()

    @property
    def unique(self) -> dict[str, RunSpec]:
        """The runs and trials by key, each once."""
        trials = [trial.run for trial in self.trials]
        return {run.key: run for run in (*trials, *self.shared_runs, *self.runs)}

    @property
    def arm_of(self) -> dict[str, Arm]:
        """The arm of each run and trial, by key."""
        arms = {arm.name: arm for arm in self.arms}
        shared_arms = self.shared_recipe.arms if self.shared_recipe else ()
        arms_at_shared_recipe = {arm.name: arm for arm in shared_arms}
        return {
            **{trial.run.key: trial.arm for trial in self.trials},
            **{run.key: arms_at_shared_recipe[run.arm] for run in self.shared_runs},
            **{run.key: arms[run.arm] for run in self.runs},
        }


@dataclass(frozen=True)
class PartPlan:
    """Plan of one part of a study."""

    label: str
    """Name of the part; empty where it is the only one."""
    study: Study
    """The study with the settings of this part."""
    plan: Plan
    """Plan of the part."""


@dataclass(frozen=True)
class StudyPlan:
    """Plan of a whole study: the plans of its parts, of which there is at least one."""

    parts: tuple[PartPlan, ...]
    """Plans of the parts."""
    expected: Expected
    """Number of runs and trials of all parts; a run of several parts counts once."""

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Plans of the parts."""
        return tuple(part.plan for part in self.parts)

    @property
    def unique(self) -> dict[str, RunSpec]:
        """The runs and trials of all parts by key, each once."""
        return {key: run for plan in self.plans for key, run in plan.unique.items()}

    @property
    def arm_of(self) -> dict[str, Arm]:
        """The arm of each run and trial, by key."""
        return {key: arm for plan in self.plans for key, arm in plan.arm_of.items()}

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """Runs of the design, in all parts."""
        return tuple(run for plan in self.plans for run in plan.runs)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Trials of all parts."""
        return tuple(trial for plan in self.plans for trial in plan.trials)

    @property
    def data(self) -> dict[str, AnyData]:
        """Data to tokenize, by fingerprint."""
        return {key: data for plan in self.plans for key, data in plan.data.items()}

    @property
    def space(self) -> dict[str, Any]:
        """Values that trials try, by parameter: the same in all parts."""
        return dict(self.plans[0].space)

    @property
    def infeasible(self) -> dict[str, str]:
        """Combinations that cannot be trained in some part, with the reason."""
        return {name: why for plan in self.plans for name, why in plan.infeasible.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the designs, each once."""
        return tuple(dict.fromkeys(note for plan in self.plans for note in plan.notes))


def baseline_flops(plan: Plan) -> float:
    """Return the training FLOPs of one run of the baseline. The budget must not be in seconds."""
    flops = next(arm.training_flops for arm in plan.arms if arm.name == plan.baseline)
    assert flops is not None
    return flops


def shown_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe in force, edits of plugins included, in plain values."""
    options = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "loss"}
    terms = {f"loss.{key}": term for key, term in recipe.loss.entries}
    return {
        key: value if isinstance(value, int | float | str) else str(value)
        for key, value in {**options, **terms}.items()
    }


def shown_options(options: Mapping[str, Any] | None) -> str:
    """Return the options of a plugin in a run as text: `off` if the run has no such plugin."""
    if options is None:
        return "off"
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "on"
