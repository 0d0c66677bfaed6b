"""The plan of a study: its arms with what they cost, and its runs with their keys."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, Use
from ablab.arch.composition.model import composite, sized
from ablab.arch.composition.registry import Registry
from ablab.arch.composition.resize import with_feed_forward_widths
from ablab.arch.recipe import Recipe
from ablab.arch.value import Architecture
from ablab.data.batches import Batches
from ablab.design.build import Contrast
from ablab.errors import UserError
from ablab.plan.arm_data import AnyData
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm, Expected
from ablab.spec.run import RecipeConfig
from ablab.spec.study import Study
from ablab.train.budget import TimeLimit
from ablab.train.numerics import NUMERICS_VERSION, resolve_precision


@dataclass(frozen=True)
class Trial:
    """One trial: which arm, with which parameters, in which run."""

    arm: Arm
    run: RunSpec


@dataclass(frozen=True)
class SharedRecipe:
    """All arms under one recipe, beside each under its own: the `params` of one trial point, and
    every arm's runs with them. An arm whose own best they are has the same runs.
    """

    params: Mapping[str, Any]
    arms: tuple[Arm, ...]
    runs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class Plan:
    """Plan of a study at one budget and scale, as far as it is known: trials decide what follows.

    Arms of equal value share their runs.
    """

    arms: tuple[Arm, ...]
    """Arms in the order of the design."""
    runs: tuple[RunSpec, ...]
    """Runs of the design."""
    contrasts: tuple[Contrast, ...]
    """Effects that the design estimates."""
    infeasible: Mapping[str, str]
    """Combinations that were left out, with the reason."""
    data: Mapping[str, AnyData]
    """Data to tokenize, by fingerprint."""
    expected: Expected
    """Number of runs and trials once all is decided."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the design."""
    trials: tuple[Trial, ...] = ()
    """Trials proposed so far."""
    space: Mapping[str, Any] = field(default_factory=dict)
    """Values that trials try, by parameter: a list, or an interval."""
    baseline: str = ""
    """Arm that effects are measured against, and that a margin in percent refers to."""
    shared: SharedRecipe | None = None
    """The arms under one recipe, once that is decided."""

    @property
    def shared_runs(self) -> tuple[RunSpec, ...]:
        """Runs with the recipe that all arms share; empty where there is no such recipe."""
        return self.shared.runs if self.shared else ()

    @property
    def unique(self) -> dict[str, RunSpec]:
        """The runs and trials by key, each once."""
        trials = [trial.run for trial in self.trials]
        return {run.key: run for run in (*trials, *self.shared_runs, *self.runs)}

    @property
    def arm_of(self) -> dict[str, Arm]:
        """The arm of each run and trial, by key."""
        arms = {arm.name: arm for arm in self.arms}
        shared = {arm.name: arm for arm in self.shared.arms} if self.shared else {}
        return {
            **{trial.run.key: trial.arm for trial in self.trials},
            **{run.key: shared[run.arm] for run in self.shared_runs},
            **{run.key: arms[run.arm] for run in self.runs},
        }


@dataclass(frozen=True)
class PartPlan:
    """Plan of one part of a study."""

    label: str
    """Name of the part; empty where it is the only one."""
    study: Study
    """The study as this part asks it."""
    plan: Plan
    """Its plan."""


@dataclass(frozen=True)
class StudyPlan:
    """Plan of a whole study: of its parts, one at least."""

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
        """Combinations that were left out of some part, with the reason."""
        return {name: why for plan in self.plans for name, why in plan.infeasible.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the designs."""
        return tuple(dict.fromkeys(note for plan in self.plans for note in plan.notes))


def baseline_flops(plan: Plan) -> float:
    """Training FLOPs of one run of the baseline, whose budget is not of seconds."""
    flops = next(arm.training_flops for arm in plan.arms if arm.name == plan.baseline)
    assert flops is not None
    return flops


def recipe_value(config: RecipeConfig) -> Recipe:
    """The recipe that a study's `recipe` describes, its plugins' edits apart, its precision
    resolved.
    """
    fields = config.model_dump(exclude={"preset", "optimizer", "schedule", "plugins"})
    return Recipe(**{**fields, "precision": resolve_precision(config.precision)})


def shown_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe in force, in plain values."""
    shown = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "loss"}
    terms = {f"loss.{key}": term for key, term in recipe.loss.entries}
    return {
        key: v if isinstance(v, int | float | str) else str(v)
        for key, v in {**shown, **terms}.items()
    }


def shown_options(options: Mapping[str, Any] | None) -> str:
    """A plugin's options in a run, for tables: `off` where the run has no such plugin."""
    if options is None:
        return "off"
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "on"


def identity(
    arch: Architecture,
    recipe: Recipe,
    uses: Mapping[str, Use],
    data: str,
    spent: Batches | TimeLimit,
    threads: int,
) -> str:
    """Everything but the seed that determines a run's numbers, as a digest. The device layout is in
    it only where seconds are; the threads always are, since a sum's rounding depends on over how
    many it is split.
    """
    parts = {
        "numerics": NUMERICS_VERSION,
        "arch": canonical(arch),
        "recipe": canonical(recipe),
        "plugins": {name: use.plugin.digest for name, use in sorted(uses.items())},
        "data": data,
        "batches": canonical(spent.runs if isinstance(spent, Batches) else spent),
        "threads": threads,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_key(shared: str, seed: int) -> str:
    """A run's key."""
    return hashlib.sha256(f"{shared}/{seed}".encode()).hexdigest()[:24]


def rebuild(spec: RunSpec, registry: Registry) -> Composite:
    """The run's value, composed anew. Raises UserError where the plugins are not those that made
    the key.
    """
    uses = {}
    for name, options in spec.plugins:
        plugin = registry.plugin(name)
        uses[name] = Use(plugin, plugin.configure(options))
    family = registry.family(spec.family)
    model = Model(spec.arm, spec.family, None, uses, sized(family.dims(None), {}))
    recipe = recipe_value(RecipeConfig.model_validate(spec.recipe))
    value = composite(
        model, Composite(recipe=recipe), {k: v for k, v in spec.dims.items() if v is not None}
    )
    if spec.feed_forward:
        value = replace(value, arch=with_feed_forward_widths(value.arch, spec.feed_forward))
    shared = identity(value.arch, value.recipe, uses, spec.data, spec.batches, spec.threads)
    # Keys of earlier numerics were made otherwise, and cannot be checked.
    if spec.numerics == NUMERICS_VERSION and run_key(shared, spec.seed) != spec.key:
        raise UserError(
            f"{spec.arm}: its plugins' source, or the machine's precision, changed since the "
            "study was planned"
        )
    return value
